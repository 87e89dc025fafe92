"""Each recorded situation is judged as an operator needs it."""

import json
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.diagnosis.findings import CUDA_ERRORS, RELOAD, Finding, Status, remedy_for, size
from gateway.diagnosis.gpu_rules import visible
from gateway.diagnosis.observed import Accelerator, Driver, Gpu, Observed, Wanted
from gateway.diagnosis.report import FORMAT, TITLES, as_json, judge, lines, verdict
from tests.diagnosis.situations import CARD, CPU_MACHINE, GPU_MACHINE, SITUATIONS, Situation

BAD = {Status.WARN, Status.FAIL}
EVERY = pytest.mark.parametrize("situation", SITUATIONS.values(), ids=list(SITUATIONS))


@EVERY
def test_what_is_wrong_is_found_and_nothing_else(situation: Situation) -> None:
    """Warnings and failures are those of the situation, by name and weight."""
    found = {finding.name: finding.status for finding in judge(situation.seen) if finding.status in BAD}
    assert found == situation.expected


@EVERY
def test_every_bad_line_has_its_remedy(situation: Situation) -> None:
    """And only a bad one; it says what this trouble needs."""
    found = judge(situation.seen)
    assert all(bool(finding.remedy) == (finding.status in BAD) for finding in found)
    remedies = {finding.name: finding.remedy for finding in found}
    for name, words in situation.remedies.items():
        assert words in remedies[name]


@EVERY
def test_the_table_says_all_in_words(situation: Situation) -> None:
    """Names, states and remedies stand in it without any colour; no line is wider than asked for."""
    found = judge(situation.seen)
    table = list(lines(found, 110))
    text = " ".join(" ".join(line.split()) for _, line in table)
    for finding in found:
        assert finding.name in text
        for part in (finding.detail, finding.remedy):
            assert " ".join(part.split()) in text
    assert ("FAIL" in text) == (Status.FAIL in situation.expected.values())
    assert all(len(line) <= 110 or " " not in line.strip() for _, line in table)


@EVERY
def test_the_last_line_says_how_it_is(situation: Situation) -> None:
    """Broken things are named; else it says on what the gateway runs."""
    said = verdict(situation.seen, judge(situation.seen))
    broken = [name for name, status in situation.expected.items() if status is Status.FAIL]
    assert ("broken" in said) == bool(broken)
    assert all(name in said for name in broken or situation.expected)


@EVERY
def test_json_is_complete_and_can_be_judged_again(situation: Situation) -> None:
    """A report that somebody sends is a situation for these tests."""
    found = judge(situation.seen)
    report = json.loads(json.dumps(as_json(situation.seen, found)))
    assert report["format"] == FORMAT == 1
    again = msgspec.convert(report["observed"], Observed)
    assert again == situation.seen
    assert msgspec.convert(report["findings"], list[Finding]) == judge(again)


def test_names_are_not_said_twice() -> None:
    """A program finds a line by its name; only variables may be several."""
    for situation in SITUATIONS.values():
        names = [finding.name for finding in judge(situation.seen) if finding.name != "variables"]
        assert len(names) == len(set(names))
        assert {finding.area for finding in judge(situation.seen)} <= set(TITLES)


def test_causes_come_before_what_follows() -> None:
    """GPU, then engine, then the gateway's surroundings."""
    areas = [finding.area for finding in judge(GPU_MACHINE)]
    assert areas == sorted(areas, key=list(TITLES).index)


@pytest.mark.parametrize(
    ("value", "indices"),
    [
        (None, (0, 1)), ("0,1", (0, 1)), ("1", (1,)), ("1,0", (1, 0)), ("", ()), ("-1", ()), ("1,7,0", (1,)),
        ("GPU-bb", (1,)), ("GPU-b, 0", (1, 0)), ("GPU-", ()), ("none", ()), ("NoDevFiles", ()),
    ],
)  # fmt: skip
def test_cuda_visible_devices_is_read_as_cuda_reads_it(value: str | None, indices: tuple[int, ...]) -> None:
    """Numbers or the unambiguous start of a UUID, up to the first that names no GPU."""
    gpus = (Gpu(0, uuid="GPU-aa"), Gpu(1, uuid="GPU-bb"))
    assert tuple(gpu.index for gpu in visible(value, gpus)) == indices


@given(st.text(max_size=20))
def test_any_value_of_the_variable_is_judged(value: str) -> None:
    """Never more GPUs than there are named, and never a crash."""
    assert len(visible(value, (CARD,))) <= value.count(",") + 1
    judge(replace(GPU_MACHINE, variables={"CUDA_VISIBLE_DEVICES": value}))


@given(st.text(max_size=60))
def test_every_error_of_cuda_has_a_remedy(said: str) -> None:
    """What nobody knows is answered with how to find out more."""
    assert remedy_for(said)
    assert remedy_for(f"CUDA failed with error {said} xyz") in {
        RELOAD,
        *(remedy for _, remedy in CUDA_ERRORS),
    }


def test_errors_are_known_by_their_words_in_lower_case() -> None:
    """Else a row of the table would never be found."""
    assert all(part == part.lower() for part, _ in CUDA_ERRORS)
    assert "570" in remedy_for("CUDA driver version is insufficient for CUDA runtime version")


@given(
    st.sampled_from(["auto", "cuda", "cpu"]),
    st.builds(
        Driver,
        st.text(max_size=5),
        st.tuples(st.integers(0, 14), st.integers(0, 9)),
        error=st.text(max_size=9),
    ),
    st.integers(0, 2),
    st.lists(st.builds(Gpu, st.integers(0, 3), error=st.sampled_from(["", "GPU is lost"])), max_size=3),
)
def test_whatever_was_seen_is_judged(device: str, driver: Driver, devices: int, gpus: list[Gpu]) -> None:
    """No combination crashes the rules; a gateway that wants no GPU never fails for one."""
    cuda = replace(CPU_MACHINE.accelerator.cuda, devices=devices, gpu_types=("float16",))
    seen = replace(
        CPU_MACHINE, wanted=Wanted(device), accelerator=Accelerator(driver, tuple(gpus), cuda=cuda)
    )
    found = judge(seen)
    assert all(finding.remedy for finding in found if finding.status in BAD)
    if device == "cpu":
        assert not [finding for finding in found if finding.area == "gpu" and finding.status in BAD]


@pytest.mark.parametrize(
    ("size_bytes", "said"),
    [(0, "0 MiB"), (350 << 20, "350 MiB"), (1 << 30, "1.0 GiB"), (85_899_345_920, "80.0 GiB")],
)
def test_sizes_are_for_people(size_bytes: int, said: str) -> None:
    assert size(size_bytes) == said
