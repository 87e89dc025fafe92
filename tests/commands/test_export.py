import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.commands.export import export
from gateway.ward.reader import FILE_NAME
from gateway.ward.records import CaptionRow, Entry
from tests.ward.journals import journal

NOW = time.time()
DAY = 86_400


def row(bed: str, number: int, ago_s: float, text: str) -> CaptionRow:
    """Said so long ago, in a stream that began two days ago."""
    end = 2 * DAY - ago_s
    return CaptionRow(bed, number, NOW - ago_s, 1, number, end - 2, end, text, "en", 0.9)


ROWS = [
    row("3A", 1, 10_000, "Good morning."),
    row("3A", 2, 5000, "量一下血壓。"),
    row("3A", 3, 1000, "Good night."),
    row("三B", 1, 100, "Somebody else."),
]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    async def write() -> None:
        async with journal(tmp_path / "data" / FILE_NAME) as told:
            for caption in ROWS:
                told.journal.record(Entry(caption))

    asyncio.run(write())
    return tmp_path / "data"


def run(data_dir: Path, *arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(export, [*arguments, "--data-dir", str(data_dir)], env=environment)


def test_text_goes_to_the_terminal(data_dir: Path) -> None:
    """One line a caption, in order, that bed's only."""
    result = run(data_dir, "--bed", "3A")
    assert result.exit_code == 0, result.output
    assert [line.partition("  ")[2] for line in result.stdout.splitlines()] == [
        "Good morning.", "量一下血壓。", "Good night.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        ((), [1, 2, 3]),
        (("--since", "2h"), [2, 3]),
        (("--since", "1h30m"), [2, 3]),
        (("--until", "1h"), [1, 2]),
        (("--since", "0.1d", "--until", "4000s"), [2]),
        (("--since", time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(NOW - 2000))), [3]),
        (("--since", time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(NOW - 2000))), [3]),
        (("--until", time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(NOW - 2000))), [1, 2]),
        (("--since", "2001-09-09"), [1, 2, 3]),
    ],
)
def test_times_are_iso_or_how_long_ago(
    data_dir: Path, arguments: tuple[str, ...], numbers: list[int]
) -> None:
    """Local time unless a zone is named."""
    result = run(data_dir, "--bed", "3A", "--format", "json", *arguments)
    assert result.exit_code == 0, result.output
    assert [caption["number"] for caption in json.loads(result.stdout)["captions"]] == numbers


def test_a_time_of_day_is_todays(data_dir: Path) -> None:
    """As one says it."""
    result = run(data_dir, "--bed", "三B", "--until", "00:00")
    said_today = time.localtime(NOW - 100).tm_yday == time.localtime().tm_yday
    assert result.exit_code == 0
    assert bool(result.stdout) != said_today


@pytest.mark.parametrize("time_given", ["yesterday", "2h30", "-2h", "25:00", ""])
def test_a_bad_time_is_named(data_dir: Path, time_given: str) -> None:
    """With examples of good ones; exit status 2."""
    result = run(data_dir, "--bed", "3A", "--since", time_given)
    assert result.exit_code == 2
    assert "is no time" in result.stderr
    assert "1h30m" in result.stderr


@pytest.mark.parametrize(
    ("name", "beginning"),
    [("x.srt", "1\n00:"), ("x.VTT", "WEBVTT"), ("x.json", "{"), ("x.txt", "20"), ("x", "20")],
)
def test_the_files_name_says_the_format(data_dir: Path, tmp_path: Path, name: str, beginning: str) -> None:
    """UTF-8, readable by the caller only, and the summary is no part of it."""
    output = tmp_path / name
    result = run(data_dir, "--bed", "3A", "--output", str(output))
    assert result.exit_code == 0, result.output
    assert output.read_text(encoding="utf-8").startswith(beginning)
    assert output.stat().st_mode & 0o777 == 0o600
    assert result.stdout == ""
    assert f"3 captions of 3A in {output}" in result.stderr


def test_srt_counts_from_since(data_dir: Path) -> None:
    """So that subtitles fit a recording that began then."""
    began = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(NOW - 1200))
    result = run(data_dir, "--bed", "3A", "--since", began, "--format", "srt")
    assert result.stdout.startswith("1\n00:03:1")


def test_a_bed_must_be_named_and_known(data_dir: Path) -> None:
    """Else those that there are get named; exit status 2."""
    for arguments in ((), ("--bed", "9Z")):
        result = run(data_dir, *arguments)
        assert result.exit_code == 2
        assert "beds with captions: 3A, 三B." in result.stderr


def test_no_captions_in_that_time_is_said(data_dir: Path) -> None:
    """It is no error: nobody spoke."""
    result = run(data_dir, "--bed", "3A", "--since", "1m")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No captions of 3A" in result.stderr


def test_without_a_journal_it_says_where_it_looked(tmp_path: Path) -> None:
    """Exit status 1, and nothing is created."""
    result = run(tmp_path / "nowhere", "--bed", "3A")
    assert result.exit_code == 1
    assert f"no journal at {tmp_path / 'nowhere' / FILE_NAME}" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_journal_is_said_and_left_alone(tmp_path: Path) -> None:
    """Only a gateway puts it aside."""
    (tmp_path / FILE_NAME).write_bytes(b"garbage" * 1000)
    result = run(tmp_path, "--bed", "3A")
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr
    assert (tmp_path / FILE_NAME).read_bytes() == b"garbage" * 1000


def test_an_output_that_cannot_be_written_is_said(data_dir: Path, tmp_path: Path) -> None:
    """Exit status 1."""
    result = run(data_dir, "--bed", "3A", "--output", str(tmp_path / "no" / "such" / "place.srt"))
    assert result.exit_code == 1
    assert "Cannot write" in result.stderr


def test_the_environment_names_the_directory(data_dir: Path) -> None:
    """As it does for the gateway."""
    result = CliRunner().invoke(export, ["--bed", "3A"], env={"CARE_VOICE_DATA_DIR": str(data_dir)})
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 3


async def test_a_running_gateway_is_not_disturbed(tmp_path: Path) -> None:
    """Captions of this moment are exported, while they are written; in a locale without UTF-8 too."""
    async with journal(tmp_path / FILE_NAME) as told:
        told.say(count=20, text="早安")
        await told.reported(20)
        command = [sys.executable, "-c", "from gateway.commands.export import export; export()"]
        process = await asyncio.create_subprocess_exec(
            *command, "--bed", "3A", "--data-dir", str(tmp_path), stdout=subprocess.PIPE,
            env=os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0"},
        )  # fmt: skip
        said = 0
        while process.returncode is None and said < 2000:
            told.say(count=5)
            said += 5
            await asyncio.sleep(0.002)
        output, _ = await process.communicate()
        assert process.returncode == 0
        assert output.decode().count("早安") == 20
        await told.reported(20 + said)
        assert told.journal.state.ok
