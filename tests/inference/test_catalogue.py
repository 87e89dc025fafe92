import re
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.catalogue import (
    BUNDLED,
    CPU_DEFAULT,
    GPU_DEFAULT,
    Catalogue,
    CatalogueError,
    Choice,
    ModelEntry,
    ModelMissing,
    NotAModel,
    Shelf,
    UnknownModel,
    choose,
    missing_files,
    parse_catalogue,
    ways_out,
)
from gateway.resources import bundled_models_dir

MANIFEST = (bundled_models_dir() / "manifest.toml").read_text(encoding="utf-8")
CATALOGUE = parse_catalogue(MANIFEST)
ENTRIES = list(CATALOGUE.models.values())
NAMES = list(CATALOGUE.models)
WHOLE = frozenset({"config.json", "model.bin", "tokenizer.json", "vocabulary.json"})
TOY = """
[model.toy]
repository = "somebody/toy"
revision = "0123456789abcdef0123456789abcdef01234567"
pinned = true
languages = ["*"]
mel_bands = 80
license = "MIT"
short_context = false
gpu_float16_mb = 1
cpu_int8_mb = 1
description = "toy"
description_zh_tw = "玩具"
[model.toy.files]
"config.json" = { bytes = 1 }
"model.bin" = { bytes = 2 }
"tokenizer.json" = { bytes = 3 }
"vocabulary.txt" = { bytes = 4 }
"""


def shelf(*here: str, directory: frozenset[str] | None = None) -> Shelf:
    return Shelf("/kept", {name: f"/kept/{name}" for name in here}, directory)


def by_name(entry: ModelEntry) -> str:
    return entry.name


# the manifest


def test_the_manifest_has_the_models_that_were_promised() -> None:
    """Every size of Whisper, the fast ones, Taiwan's, and the built-in demo."""
    promised = "demo tiny base small medium large-v2 large-v3 large-v3-turbo distil-large-v3.5 breeze-asr-25"
    assert set(promised.split()) <= set(NAMES)
    assert {GPU_DEFAULT, CPU_DEFAULT} <= set(NAMES)


@pytest.mark.parametrize("entry", ENTRIES, ids=by_name)
def test_every_entry_is_complete(entry: ModelEntry) -> None:
    """A commit of 40 hex digits or an open admission; descriptions in both languages; believable numbers."""
    assert entry.revision == BUNDLED or not entry.pinned or re.fullmatch("[0-9a-f]{40}", entry.revision)
    assert entry.pinned or entry.revision == "main"
    assert (
        entry.repository == ""
        if entry.revision == BUNDLED
        else re.fullmatch(r"[\w-]+/[\w.-]+", entry.repository)
    )
    assert entry.languages
    assert entry.mel_bands in (80, 128)
    assert entry.license in ("MIT", "Apache-2.0")
    assert entry.description.isascii()
    assert re.search("[\u4e00-\u9fff]", entry.description_zh_tw)
    assert not missing_files(entry.files)
    assert entry.files["model.bin"].bytes < entry.gpu_float16_mb * 1e6
    assert entry.files["model.bin"].bytes < entry.cpu_int8_mb * 1e6


def test_only_the_demo_was_tested_with_a_short_context() -> None:
    """Whisper's own models loop on short contexts: nobody may turn that on unmeasured."""
    assert [entry.name for entry in ENTRIES if entry.short_context] == ["demo"]


def test_models_with_128_mel_bands_say_so_in_a_file() -> None:
    """faster-whisper takes 80 unless preprocessor_config.json says 128."""
    for entry in ENTRIES:
        assert entry.mel_bands == 80 or "preprocessor_config.json" in entry.files


def test_weights_have_a_known_checksum_but_for_one() -> None:
    """Only Breeze-ASR-25's checksum is taken from the hub."""
    assert [entry.name for entry in ENTRIES if not entry.files["model.bin"].sha256] == ["breeze-asr-25"]


# parsing


def test_a_small_manifest() -> None:
    """What is written is what is read; the download is the sum of the files."""
    toy = parse_catalogue(TOY).find("toy")
    assert (toy.repository, toy.languages, toy.download_bytes) == ("somebody/toy", ("*",), 10)


@pytest.mark.parametrize("field", [field.name for field in fields(ModelEntry) if field.name != "name"])
def test_a_missing_field_is_named(field: str) -> None:
    """The error says which model and which field."""
    drop = rf"(?m)^{field} = .*$" if field != "files" else r"(?s)\[model\.toy\.files\].*"
    with pytest.raises(CatalogueError, match=r"toy: .*" + ("repository" if field == "repository" else field)):
        parse_catalogue(re.sub(drop, "", TOY))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("[model.toy]", "[model.toy", "no valid TOML"),
        ("[model", "format = 2\n[model", "does not know"),
        ("mel_bands = 80", 'mel_bands = "80"', "Expected `int`"),
        ("mel_bands = 80", "mel_bands = 80\nsiez = 1", "unknown field siez"),
        ("0123456789abcdef0", "main-0", "40 hex digits"),
        ('revision = "0123', 'revision = "bundled"\n# "', "unless its revision is bundled"),
        ("bytes = 2 }", 'bytes = 2, sha256 = "12" }', "64 hex digits"),
        ("bytes = 2 }", "bytes = 0 }", "plain file name"),
        ('"model.bin"', '"../model.bin"', "plain file name"),
        ('"tokenizer.json"', '"other.json"', r"lack tokenizer\.json"),
        ('"vocabulary.txt"', '"other.json"', r"lack vocabulary\.json or vocabulary\.txt"),
        ("[model.toy", '[model."../toy"', "lower case"),
        ("[model.toy", "[model.Toy", "lower case"),
    ],
)
def test_a_fault_in_the_manifest_is_said(old: str, new: str, fault: str) -> None:
    """A manifest that somebody edited wrongly is refused with the reason, not half read."""
    broken = TOY.replace(old, new, 1) if "format" in new else TOY.replace(old, new)
    with pytest.raises(CatalogueError, match=fault):
        parse_catalogue(broken)


def test_an_unpinned_entry_may_follow_a_branch() -> None:
    """pinned = false admits that no commit is known."""
    text = re.sub('revision = ".*"', 'revision = "main"', TOY).replace("pinned = true", "pinned = false")
    assert parse_catalogue(text).find("toy").revision == "main"


@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(text: str) -> None:
    """Anything but a manifest is a CatalogueError."""
    with pytest.raises(CatalogueError):
        parse_catalogue(text)


# finding


@given(st.sampled_from(NAMES), st.booleans(), st.sampled_from(["", " "]))
def test_a_name_is_found_whatever_its_case(name: str, upper: bool, space: str) -> None:
    """Large-V3 is large-v3."""
    assert CATALOGUE.find(space + (name.upper() if upper else name)).name == name


@given(st.sampled_from([name for name in NAMES if len(name) > 4]), st.data())
def test_a_typing_error_gets_its_near_match(name: str, data: st.DataObject) -> None:
    """One letter left out: the right name is among those suggested."""
    at = data.draw(st.integers(0, len(name) - 1))
    wrong = name[:at] + name[at + 1 :]
    if wrong not in NAMES:
        with pytest.raises(UnknownModel) as caught:
            CATALOGUE.find(wrong)
        assert "Did you mean" in str(caught.value)


@given(st.text(max_size=40))
def test_a_name_is_found_or_refused(name: str) -> None:
    """find() answers with the model of that name or with UnknownModel, nothing else."""
    if name.strip().lower() in NAMES:
        assert CATALOGUE.find(name).name == name.strip().lower()
    else:
        with pytest.raises(UnknownModel, match=re.escape(repr(name))):
            CATALOGUE.find(name)


# choosing


@pytest.mark.parametrize(("cuda", "name"), [(True, GPU_DEFAULT), (False, CPU_DEFAULT)])
def test_auto_depends_on_the_device(cuda: bool, name: str) -> None:
    """A GPU gets the large turbo model, a CPU the small one."""
    choice = choose(CATALOGUE, "auto", cuda, shelf(*NAMES))
    assert choice == Choice(name, f"/kept/{name}", CATALOGUE.find(name))


@given(st.sampled_from([*NAMES, "auto"]), st.booleans(), st.frozensets(st.sampled_from(NAMES)))
def test_nothing_is_ever_taken_instead(model: str, cuda: bool, here: frozenset[str]) -> None:
    """The model that was asked for, or an error that names it: whatever else lies on the shelf."""
    wanted = {"auto": GPU_DEFAULT if cuda else CPU_DEFAULT}.get(model, model)
    if wanted in here:
        assert choose(CATALOGUE, model, cuda, shelf(*here)).name == wanted
    else:
        with pytest.raises(ModelMissing, match=f"the model {re.escape(wanted)} "):
            choose(CATALOGUE, model, cuda, shelf(*here))


def test_a_missing_model_comes_with_three_ways_out() -> None:
    """Pull it, copy it, or try the demo; auto says which model it means and why."""
    with pytest.raises(ModelMissing) as caught:
        choose(CATALOGUE, "auto", True, shelf())
    text = str(caught.value)
    for part in (
        "`auto` means it on the GPU",
        "/kept",
        "models pull large-v3-turbo",
        "1622 MB",
        "--model DIRECTORY",
        "--model demo",
    ):
        assert part in text
    assert ways_out(CATALOGUE.find(GPU_DEFAULT)) in text


def test_a_directory_is_taken_as_it_is() -> None:
    """A directory with the files of a model is a model, called by its last part; no manifest entry is assumed."""
    choice = choose(CATALOGUE, "/data/my-model/", False, shelf(directory=WHOLE | {"README.md"}))
    assert choice == Choice("my-model", "/data/my-model/", None)


def test_a_known_name_wins_over_a_directory_of_that_name() -> None:
    """A directory called small beside the gateway does not change what `small` means."""
    with pytest.raises(ModelMissing):
        choose(CATALOGUE, "small", False, shelf(directory=WHOLE))
    assert choose(CATALOGUE, "./small", False, shelf(directory=WHOLE)).entry is None


@given(st.frozensets(st.sampled_from(sorted(WHOLE | {"vocabulary.txt", "README.md"}))))
def test_a_directory_that_is_no_model_says_what_it_lacks(files: frozenset[str]) -> None:
    """Every file that is missing is named; with all of them it is a model."""
    absent = missing_files(files)
    if not absent:
        assert choose(CATALOGUE, "./mine", False, shelf(directory=files)).name == "mine"
        return
    with pytest.raises(NotAModel) as caught:
        choose(CATALOGUE, "./mine", False, shelf(directory=files))
    assert all(name in str(caught.value) for name in absent)


@pytest.mark.parametrize(
    "model", ["somebody/else", "Systran/faster-whisper-small", "../../etc", "/nowhere", "https://x/y"]
)
def test_a_slash_never_means_a_repository(model: str) -> None:
    """What looks like a path and is none is refused: nothing typed reaches the hub."""
    with pytest.raises(UnknownModel, match="no such directory"):
        choose(CATALOGUE, model, True, shelf(*NAMES))


def test_an_empty_catalogue_still_answers() -> None:
    """No models: everything is unknown, without a guess."""
    with pytest.raises(UnknownModel, match="no model is called 'small'"):
        Catalogue({}).find("small")


def test_entries_compare_by_value() -> None:
    """What crosses a stage is plain data."""
    toy = parse_catalogue(TOY).find("toy")
    assert toy == parse_catalogue(TOY).find("toy")
    assert replace(toy, mel_bands=128) != toy
