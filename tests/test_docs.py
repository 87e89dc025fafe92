"""What the documents say is what the code does: read from both."""

import ast
import asyncio
import importlib.util
import inspect
import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import textwrap
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from gateway.commands.main import main
from gateway.config import Settings
from gateway.connection import messages
from gateway.connection.closing import CloseCode
from gateway.connection.protocols.dialects import DIALECTS
from gateway.connection.protocols.native import decode_client, decode_server
from gateway.events import AudioFormat
from gateway.inference.protocol import DECODE_FAILED
from gateway.transcript import guard
from gateway.vitals import Vitals
from gateway.ward import captions
from gateway.ward.faults import ERRNO_REASONS, REASONS
from gateway.ward.hub import Hub
from tests.running import RunningGateway, command, environment
from tests.talking import REFERENCES, SECRETS, Peer, peer

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("models/**/*.md")])
README, CHINESE = ROOT / "README.md", ROOT / "README.zh-TW.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(path: str | Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", text)


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, content) of the fenced blocks."""
    return FENCE.findall(text)


def sections(text: str) -> dict[tuple[str, str], str]:
    """(heading of level 2, of level 3 or "") -> what stands below it, sub-headings of level 2 included."""
    found: dict[tuple[str, str], str] = {}
    chapter = section = ""
    for line in text.splitlines():
        if match := re.match(r"(##|###) (.+)", line):
            chapter, section = (match[2], "") if match[1] == "##" else (chapter, match[2].strip("`"))
        for key in {(chapter, ""), (chapter, section)}:
            found[key] = found.get(key, "") + line + "\n"
    return found


def rows(text: str) -> list[list[str]]:
    """The cells of the tables in a piece of Markdown, without heads and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [
        row
        for i, row in enumerate(cells)
        if not _is_rule(row) and not (i + 1 < len(cells) and _is_rule(cells[i + 1]))
    ]


def _is_rule(row: list[str]) -> bool:
    return all(re.fullmatch(r":?-+:?", cell) for cell in row)


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def first_codes(text: str) -> set[str]:
    """What the first columns of its tables name."""
    return {code for row in rows(text) for code in codes(row[0])}


def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def in_use(module: str = "gateway.commands.serve", seen: set[Path] | None = None) -> set[Path]:
    """The files that `care-voice serve` is made of, by their imports: what nobody imports can say nothing."""
    seen = set() if seen is None else seen
    file = ROOT / f"{module.replace('.', '/')}.py"
    if not file.is_file() or file in seen:
        return seen
    seen.add(file)
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gateway"):
            for name in [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]:
                in_use(name, seen)
    return seen


IN_USE = sorted(in_use())


def calls(*places: str) -> Iterator[ast.Call]:
    """All calls in these files and folders of gateway/ (those in use)."""
    roots = [ROOT / "gateway" / place for place in places]
    for file in IN_USE:
        if any(file.is_relative_to(root) for root in roots):
            yield from (node for node in ast.walk(tree_of(file)) if isinstance(node, ast.Call))


def name_of(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def strings_returned(function: Any) -> set[str]:
    """The names that a function of ours may answer with."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    returns = [node for node in ast.walk(tree) if isinstance(node, ast.Return)]
    constants = [n.value for r in returns for n in ast.walk(r) if isinstance(n, ast.Constant)]
    return {value for value in constants if isinstance(value, str)}


def literal(call: ast.Call, position: int = 0) -> str | None:
    """The string that it is given there, if it is one."""
    node = call.args[position] if len(call.args) > position else None
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


PROTOCOL = sections(read("docs/protocol.md"))


# --- settings -------------------------------------------------------------------------------------------------


def settings_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("settings_script", ROOT / "scripts/settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_setting_is_documented_as_it_is() -> None:
    """docs/configuration.md has each field's flag, variable, key, default, range and meaning, and no other."""
    page = read("docs/configuration.md")
    assert settings_script().page(page) == page, "run: .venv/bin/python scripts/settings.py"
    keys = {codes(row[2])[0] for row in rows(page) if len(row) == 5}
    assert keys == {name for _, section in Settings() for name in type(section).model_fields}


def test_the_file_in_the_configuration_page_is_valid() -> None:
    """Every TOML block is a file that the gateway takes."""
    found = [
        tomllib.loads(content)
        for language, content in blocks(read("docs/configuration.md"))
        if language == "toml"
    ]
    assert found
    for content in found:
        Settings.model_validate(content)


def test_older_variables_are_documented() -> None:
    """The first Care Voice's names are on the page."""
    assert {"WHISPER_MODEL", "WHISPER_BATCH_SIZE", "ENABLE_FP16", "CUDA_VISIBLE_DEVICES"} <= first_codes(
        sections(read("docs/configuration.md"))["Other variables", ""]
    )


def test_limits_in_the_protocol_page_are_the_defaults() -> None:
    """The short table of limits names settings that exist, with their defaults."""
    defaults = {name: value for _, section in Settings() for name, value in section}
    units = {"": 1.0, "s": 1.0, "h": 1.0, "MiB": float(1 << 20)}
    checked = 0
    for row in rows(PROTOCOL["Limits", ""]):
        if (name := codes(row[0])[-1:]) and name[0] in defaults:
            number, _, unit = row[1].partition(" ")
            factor = 1000.0 if name[0].endswith("_ms") else units[unit]
            assert float(number) * factor == defaults[name[0]], name
            checked += 1
    assert checked >= 10


# --- messages -------------------------------------------------------------------------------------------------

SIDES = {
    "Speaker to gateway": [messages.Start, messages.Flush, messages.Gap, messages.Stop, messages.Ping],
    "Gateway to speaker": list(messages.ServerMessage.__args__),
    "Viewer to gateway": [captions.Watch],
    "Gateway to viewer": list(captions.ViewerMessage.__args__),
}
PARTS: dict[type, list[type]] = {
    messages.Start: [AudioFormat, messages.Resume],
    messages.Started: [messages.Limits],
    messages.Final: [messages.TimedWord],
}


def field_names(kind: type) -> list[str]:
    if issubclass(kind, msgspec.Struct):
        return [field.encode_name for field in msgspec.structs.fields(kind)]
    return list(kind.__dataclass_fields__)  # type: ignore[attr-defined]


@pytest.mark.parametrize("side", SIDES)
def test_every_message_and_field_is_documented(side: str) -> None:
    """Each type has a section on its side of the conversation, with every field of it and no other."""
    for kind in SIDES[side]:
        tag = kind.__struct_config__.tag
        assert (side, tag) in PROTOCOL, f"{side}: no section `{tag}`"
        section = PROTOCOL[side, tag]
        ours, inside = field_names(kind), [name for part in PARTS.get(kind, []) for name in field_names(part)]
        tables = [row for row in rows(section) if tag != "final" or row[0].strip("`") not in SUPPRESSED]
        assert sorted(code for row in tables for code in codes(row[0])) == sorted(ours), tag
        for name in inside:
            assert f"`{name}`" in section, f"{tag}: {name}"


def test_no_message_is_documented_that_does_not_exist() -> None:
    """Sections are messages, or say in plain words what else they are."""
    for side, kinds in SIDES.items():
        said = {section for chapter, section in PROTOCOL if chapter == side and section.islower()}
        assert said == {kind.__struct_config__.tag for kind in kinds}


def test_messages_all_have_a_side() -> None:
    """A message added to the code is looked for above."""
    listed = {kind for kinds in SIDES.values() for kind in kinds} | {
        part for parts in PARTS.values() for part in parts
    }
    defined = {
        kind
        for module in (messages, captions)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__
    }
    assert defined - listed == {messages.Audio, messages.Configure}  # a binary frame; of other protocols


@pytest.mark.parametrize(("section", "least"), [("An example", 9), ("When the link breaks", 8)])
def test_the_example_conversations_are_the_protocol(section: str, least: int) -> None:
    """Their lines are messages that the codec reads; … stands for what is left out."""
    content = blocks(PROTOCOL[section, ""])[0][1]
    lines = [line for line in content.splitlines() if line[2:3] == "{" and not re.search(r"[{,]…", line)]
    assert len(lines) >= least
    for line in lines:
        (decode_client if line[0] == ">" else decode_server)(line[2:])


def test_every_state_of_a_bed_is_documented() -> None:
    """Under `bed`, the second table; and nowhere a state that does not exist."""
    states = strings_returned(Hub._state)
    assert len(states) == 4
    told = [row for row in rows(PROTOCOL["Gateway to viewer", "bed"]) if not codes(row[0])]
    assert {row[0] for row in told} == states


def test_encodings_are_documented() -> None:
    """Those of the table are those of the decoder."""
    from gateway.detection.audio import ENCODINGS

    assert first_codes(PROTOCOL["Audio", ""]) == set(ENCODINGS)


# --- errors, notices, close codes, reasons ----------------------------------------------------------------------

RAISERS = {
    "Refused": 0,
    "AudioError": 0,
    "ProtocolError": 0,
    "_fail": 0,
    "_mistake": 0,
    "_refuse": 1,
    "_check_choice": 0,
}


def error_codes() -> set[str]:
    """Every code that gateway/connection and gateway/detection can send, from their source."""
    found = set()
    for call in calls("connection", "detection"):
        if (name := name_of(call)) in RAISERS and (code := literal(call, RAISERS[name])):
            found.add(f"unknown_{code}" if name == "_check_choice" else code)
    return found


def test_every_error_code_is_documented() -> None:
    """The table of errors has each code of the source and no other."""
    assert len(error_codes()) > 20
    assert first_codes(PROTOCOL["Errors", ""]) == error_codes()


def test_every_notice_is_documented() -> None:
    """The table of notices has each code of the source and no other."""
    sent = {literal(call) for call in calls(".") if name_of(call) == "Notice"}
    assert first_codes(PROTOCOL["Notices", ""]) == sent


def test_every_close_code_is_documented() -> None:
    """The table of close codes is closing.py; the errors' codes are in it."""
    assert {int(row[0]) for row in rows(PROTOCOL["Close codes", ""])} == {int(code) for code in CloseCode}
    assert {int(row[3]) for row in rows(PROTOCOL["Errors", ""]) if row[3]} <= {
        int(code) for code in CloseCode
    }


def test_viewers_errors_are_documented() -> None:
    """Those of viewer.py and of a bed's name, under `error` of their side."""
    sent = {literal(call) for call in calls("connection/viewer.py") if name_of(call) == "Refused"} | {
        "bad_bed"
    }
    [row] = [row for row in rows(PROTOCOL["Gateway to viewer", "error"]) if row[0] == "`code`"]
    assert set(codes(row[1])) == sent


SUPPRESSED = strings_returned(guard.judge) | {DECODE_FAILED}


def test_every_reason_of_the_guard_is_documented() -> None:
    """Under `final`, the second table."""
    assert len(SUPPRESSED) > 5
    assert first_codes(PROTOCOL["Gateway to speaker", "final"]) >= SUPPRESSED


# --- operations -----------------------------------------------------------------------------------------------

OPERATIONS = sections(read("docs/operations.md"))


@pytest.mark.slow
def test_every_metric_is_documented(gateway: RunningGateway) -> None:
    """The table has each metric with its kind, and no page names one that does not exist."""
    kinds = dict(re.findall(r"^# TYPE (\w+?) (\w+)$", gateway.get("/metrics"), re.MULTILINE))
    kinds = {name: kind for name, kind in kinds.items() if not name.endswith("_created")}
    told = {codes(row[0])[0]: row[1].split(",")[0] for row in rows(OPERATIONS["Metrics", ""])}
    assert told == kinds
    for page in PAGES:
        for name in re.findall(r"care_voice_[a-z_]+", read(page)):
            assert name in kinds or name.removesuffix("_bucket") in kinds, f"{page.name}: {name}"


@pytest.mark.slow
def test_the_health_page_is_shown_with_its_real_fields(gateway: RunningGateway) -> None:
    """The example answer of /health has the fields of a running gateway."""
    example = next(
        line
        for _, content in blocks(OPERATIONS["Health", ""])
        for line in content.splitlines()
        if line[0] == "{"
    )
    assert list(json.loads(example)) == list(gateway.health())


def is_logging(function: ast.expr) -> bool:
    """log.info, or (log.error if … else log.info)."""
    if isinstance(function, ast.IfExp):
        return is_logging(function.body)
    return isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "log"


def test_every_event_of_the_log_is_documented() -> None:
    """The table has each event that is logged, with its figures, wherever it is logged from."""
    told = {codes(row[0])[0]: set(codes(row[1])) for row in rows(OPERATIONS["Logs", ""])}
    logged: dict[str, set[str]] = {}
    for call in calls("."):
        if is_logging(call.func) and (event := literal(call)):
            logged.setdefault(event, set()).update(keyword.arg or "" for keyword in call.keywords)
    assert told == logged


def test_every_status_of_health_is_documented() -> None:
    """The words that `status` may be are said below the example."""
    states = strings_returned(Vitals.status)
    assert len(states) > 4
    assert states <= set(codes(prose(OPERATIONS["Health", ""])))


def test_every_fault_of_the_journal_is_documented() -> None:
    """The reasons in health, log and notice."""
    reasons = {*REASONS.values(), *ERRNO_REASONS.values(), "io_error", "slow", "replaced", "unexpected"}
    assert first_codes(OPERATIONS["When captions cannot be kept", ""]) == reasons


# --- addresses --------------------------------------------------------------------------------------------------

ROUTES = {
    path: r"[^/\s?`\"]+".join(map(re.escape, re.split(r"\{[^}]+\}", path)))
    for path in [*DIALECTS, *(literal(c) or "" for c in calls("connection") if name_of(c) in {"get", "post"})]
    if path.startswith("/")
}
"""Path of the gateway -> a pattern for it, with any bed or model."""


def test_every_address_is_documented() -> None:
    """Each path that the gateway answers is named in a page, or shown there in an address."""
    assert len(ROUTES) > 18
    text = "\n".join(read(page) for page in PAGES)
    for path, pattern in ROUTES.items():
        assert re.search(rf"(?:[`…]|GET |POST |:8001){pattern}(?=[\s?`\">]|$)", text, re.MULTILINE), path


def test_no_address_is_documented_that_does_not_exist() -> None:
    """Those with our port lead to a path of the gateway, or are the base that SDKs begin theirs with."""
    shown = [
        (page.name, path) for page in PAGES for path in re.findall(r":8001(/[^\s?#`\"'>)]*)", read(page))
    ]
    assert len(shown) > 15
    for page, path in shown:
        known = path == "/v1" or any(re.fullmatch(pattern, path) for pattern in ROUTES.values())
        assert known, f"{page}: {path}"


# --- the command line -------------------------------------------------------------------------------------------


def commands(
    command: click.Command = main, path: tuple[str, ...] = ()
) -> dict[tuple[str, ...], click.Command]:
    found = {path: command}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            found |= commands(child, (*path, name))
    return found


COMMANDS = commands()


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "care-voice")
def test_every_command_and_option_has_help(path: tuple[str, ...]) -> None:
    """--help teaches: nothing is listed without a word about it."""
    assert COMMANDS[path].help
    silent = {p.name for p in COMMANDS[path].params if isinstance(p, click.Option) and not p.help}
    assert not silent


def shell_lines() -> Iterator[tuple[str, str]]:
    """(page, line) of the commands in the fenced blocks, and of those in the text."""
    for page in PAGES:
        for language, content in blocks(read(page)):
            if language in {"console", "sh", "bash"}:
                lines = re.findall(r"^\$ (.+(?:\\\n.+)*)", content, re.MULTILINE)
                yield from ((page.name, line) for line in lines)
        for said in codes(prose(read(page)).replace("\n", " ")):
            if said.startswith(("make ", "care-voice ")):
                yield page.name, said


def test_every_command_in_the_documents_exists() -> None:
    """Make targets, subcommands and their options."""
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    checked = 0
    for page, line in shell_lines():
        for piece in re.split(r"[|;&]|\s#", line):
            words = piece.split()
            if words[:1] == ["make"]:
                assert set(words[1:]) <= targets, f"{page}: {line}"
                checked += 1
            if words[:1] == ["care-voice"]:
                check_command(words[1:], f"{page}: {line}")
                checked += 1
    assert checked > 25


@pytest.mark.parametrize("path", [path for path in COMMANDS if path], ids=" ".join)
def test_every_command_is_documented(path: tuple[str, ...]) -> None:
    """A page shows it, or names it."""
    if not isinstance(COMMANDS[path], click.Group):
        name = " ".join(("care-voice", *path))
        assert any(re.search(rf"{name}\b", read(page)) for page in PAGES), name


def check_command(words: list[str], where: str) -> None:
    path: tuple[str, ...] = ()
    for word in words:
        if (*path, word) not in COMMANDS:
            break
        path = (*path, word)
    command = COMMANDS[path]
    assert path or words[:1] == ["--help"], where
    assert not isinstance(command, click.Group) or len(words) == len(path), where
    options = {
        flag for p in command.params if isinstance(p, click.Option) for flag in (*p.opts, *p.secondary_opts)
    }
    for word in words[len(path) :]:
        if word.startswith("--"):
            assert word.partition("=")[0] in options | {"--help"}, f"{where}: {word}"


# --- links ------------------------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """The fragments that the headings of a page get."""
    headings = re.findall(r"^#+ (.+)$", prose(path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links exist, and so do the headings that they name; pictures have a description."""
    text = prose(page.read_text(encoding="utf-8"))
    for words, target in re.findall(r"(?<!`)\[([^\]]*)\]\(([^)\s]+)\)", text):
        assert words, f"{target} has no words"
        if re.match(r"https?:", target):
            continue
        file, _, fragment = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        assert not fragment or fragment in anchors(there), target


# --- the two READMEs --------------------------------------------------------------------------------------------


def bare(block: tuple[str, str]) -> tuple[str, str]:
    """A block without its comments."""
    return block[0], re.sub(r"\s+(#|//)\s.*$", "", block[1], flags=re.MULTILINE)


def test_both_readmes_say_the_same() -> None:
    """Headings in the same order and depth, the same blocks, tables, pictures and links."""
    english, chinese = read(README), read(CHINESE)
    assert re.findall(r"^#+", prose(english), re.MULTILINE) == re.findall(
        r"^#+", prose(chinese), re.MULTILINE
    )
    assert [bare(block) for block in blocks(english)] == [bare(block) for block in blocks(chinese)]
    assert [len(row) for row in rows(prose(english))] == [len(row) for row in rows(prose(chinese))]
    assert re.findall(r"!\[.+?\]\((.+?)\)", english) == re.findall(r"!\[.+?\]\((.+?)\)", chinese)
    assert len(re.findall(r"^- ", prose(english), re.MULTILINE)) == len(
        re.findall(r"^- ", prose(chinese), re.MULTILINE)
    )
    assert set(codes(prose(english))) == set(codes(prose(chinese)))


def test_the_chinese_readme_is_traditional() -> None:
    """No simplified character, and Taiwan's punctuation between Chinese characters."""
    import opencc

    text = prose(read(CHINESE))
    assert opencc.OpenCC("s2tw").convert(text).replace("臺", "台") == text.replace("臺", "台")
    assert not re.search(r"[\u4e00-\u9fff][,.;:?!()](?:[\u4e00-\u9fff]|$)", text, re.MULTILINE)


# --- what the documents show, tried on a real gateway -------------------------------------------------------------


def example(language: str, having: str = "") -> str:
    found = blocks(read(README))
    return next(content for kind, content in found if kind == language and having in content)


@pytest.mark.slow
async def test_the_python_client_of_the_readme_works(gateway: RunningGateway, tmp_path: Path) -> None:
    """Saved and run as the README says, it prints partials and the right caption."""
    script = tmp_path / "speak.py"
    script.write_text(example("python"), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), "tests/data/audio/en_00.wav", f"{gateway.ws}/v1/stream",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT, env=environment(),
    )  # fmt: skip
    said, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    lines = said.decode().splitlines()
    assert lines[-1].endswith("en I am cold.")
    assert lines[0].startswith("...")


@pytest.mark.slow
async def test_the_openai_client_of_the_readme_works(gateway: RunningGateway) -> None:
    """With nothing but the address changed it prints what the recording says."""
    program = example("python", "OpenAI").replace("http://127.0.0.1:8001", gateway.url)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, cwd=ROOT, env=environment()
    )
    said, _ = await process.communicate()
    assert said.decode().strip() == "I am cold."


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")
async def test_the_javascript_viewer_of_the_readme_works(gateway: RunningGateway, tmp_path: Path) -> None:
    """It prints the caption of the bed that it watches."""
    script = tmp_path / "watch.mjs"
    script.write_text(
        example("js").replace("ws://127.0.0.1:8001", gateway.ws).replace('"3A"', '"JS"'), encoding="utf-8"
    )
    before = gateway.health()["viewers"]
    viewer = await asyncio.create_subprocess_exec(
        "node", "--experimental-websocket", str(script),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert viewer.stdout is not None
    try:
        async with asyncio.timeout(30):
            while gateway.health()["viewers"] <= before:  # noqa: ASYNC110 (it is in another process)
                await asyncio.sleep(0.05)
            command = [sys.executable, "-m", "gateway", "stream", "tests/data/audio/en_00.wav", "--bed", "JS"]
            speaker = await asyncio.create_subprocess_exec(
                *command, "--url", gateway.url, "--quiet", "--fast", "4", cwd=ROOT, env=environment()
            )
            assert await viewer.stdout.readline() == b"JS I am cold.\n"
            assert await speaker.wait() == 0
    finally:
        viewer.kill()
        await viewer.wait()


START = {"type": "start"}
SAMPLES = b"\0\0" * 1600
BAD: dict[str, list[Any]] = {
    "text that is no JSON, first": ["{nope"],
    "text that is no JSON, after `started`": [START, *["{nope"] * 11],
    "a type that does not exist, after `started`": [START, {"type": "sing"}],
    "a second `start`": [START, START],
    "audio before `start`": [SAMPLES],
    "a text frame (base64, say) where audio belongs": [START, *["UklGRg=="] * 11],
    "a message of 20 MB": [START, bytes(20_000_000)],
    "ten thousand hotwords": [{**START, "hotwords": ["word"] * 10_000}],
    "a prompt of a million characters": [{**START, "prompt": "p" * 1_000_000}],
    "a language that the model does not have": [{**START, "language": "ja"}],
    "a bed called `a/b`": [{**START, "bed": "a/b"}],
    "a session to resume that nobody knows": [{**START, "resume": {"session": "a", "token": "b"}}],
    "a `flush` with an `id` of a thousand characters": [START, {"type": "flush", "id": "x" * 1000}],
    "a gap of 0 samples": [START, {"type": "gap", "samples": 0}],
    "(a viewer) no bed to watch": [{"type": "watch", "beds": []}],
    "(a viewer) something else than `watch`": ["{nope"],
    "an encoding that does not exist": [{**START, "audio": {"encoding": "mp3"}}],
    "a rate of 4000 Hz": [{**START, "audio": {"sample_rate": 4000}}],
    "three channels": [{**START, "audio": {"channels": 3}}],
    "an odd number of bytes": [START, b"\0\0\0"],
    "floats that are NaN": [{**START, "audio": {"encoding": "pcm_f32le"}}, b"\0\0\xc0\x7f"],
    "a packet that is no Opus": [{**START, "audio": {"encoding": "opus"}}, *[b"\xff\xff"] * 11],
    "audio much faster than real time": [START, *[bytes(960_000)] * 6],
    "a flood of empty messages, pings or gaps": [START, *[{"type": "gap", "samples": 1}] * 200],
    "an empty binary message": [START, b""],
}
"""First column of docs/bad-input.md -> what a client says."""
ELSEWHERE = {
    "nothing at all instead of a `start`",
    "(a viewer) nothing at all instead of a `watch`",
    "somebody else's session to resume, with a guessed token",
    "a session to resume that another socket still has",
    "no key, or a wrong one, where there are keys",
    "a bed that is not the key's",
    "silence for an hour",
    "pure noise",
    "clipped audio",
}
"""Tried in tests/test_gateway.py, test_resume.py, test_access_gateway.py, tests/faults and tests/connection."""
BAD_PAGE = sections(read("docs/bad-input.md"))
TOLD = {row[0]: row[1] for chapter in ("Messages", "Audio") for row in rows(BAD_PAGE[chapter, ""])}


def test_every_row_of_bad_input_is_tried() -> None:
    """Here or in the tests named above."""
    assert set(TOLD) == set(BAD) | ELSEWHERE
    named = {code for answer in TOLD.values() for code in codes(answer)}
    assert named <= error_codes() | set(re.findall(r"`(\w+)`", read("docs/protocol.md"))) | {
        "care_voice_suppressed_total"
    }


@pytest.mark.slow
@pytest.mark.parametrize("case", BAD)
async def test_bad_input_gets_what_the_page_says(gateway: RunningGateway, case: str) -> None:
    """The first code of the answer is the error that comes; the close code is the one named."""
    told = TOLD[case]
    async with peer(gateway.ws, "/v1/captions" if "viewer" in case else "/v1/stream") as client:
        try:
            for message in BAD[case]:
                await client.socket.send(json.dumps(message) if isinstance(message, dict) else message)
            if "close" not in told or ("goes on" in told and "eleventh" not in told):
                await client.say("stop")
        except ConnectionClosed:
            pass  # it was closed before everything was said
        close, _ = await client.end()
    expected = re.search(r"close (\d{4})", told)
    assert close == (int(expected[1]) if expected else 1000)
    errors = [error["code"] for error in client.of("error")]
    assert errors[:1] == [code for code in codes(told) if code in error_codes()][:1]
    assert "goes on" not in told or goes_on(client), client.messages


def goes_on(client: Peer) -> bool:
    """The first mistake did not end it."""
    return not client.of("error")[0]["fatal"]


@pytest.mark.slow
@pytest.mark.parametrize("page", [README, CHINESE], ids=lambda page: page.name)
def test_the_command_line_of_the_readme_prints_what_it_shows(page: Path, gateway: RunningGateway) -> None:
    """`care-voice stream` of the first example, against this gateway."""
    content = next(content for _, content in blocks(read(page)) if "care-voice stream" in content)
    command, shown = content.splitlines()[:2]
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *command.split()[2:], "--url", gateway.url, "--fast", "4"],
        capture_output=True, text=True, cwd=ROOT, env=environment() | {"PYTHONUTF8": "1"}, timeout=60, check=True,
    )  # fmt: skip
    assert shown in done.stdout.splitlines()


WARD = next(content for _, content in blocks(read(README)) if "tls make" in content)
"""Five commands that take a ward to keys and HTTPS."""


@pytest.mark.slow
def test_the_five_commands_of_the_readme_make_a_ward(tmp_path: Path) -> None:
    """As they stand there: keys, a CA that a client trusts, a gateway on all addresses that takes the speaker's
    key for its bed and the viewer's for its captions, and nobody else's."""
    lines = [line.removeprefix("$ ") for line in WARD.splitlines()]
    assert len(lines) == 5
    assert lines[0] == ". .venv/bin/activate"
    data = tmp_path / "data"
    env = environment({"CARE_VOICE_DATA_DIR": str(data), "PYTHONUTF8": "1"})
    viewer, speaker, _ = (
        subprocess.run(
            command(*shlex.split(line)[1:]), capture_output=True, text=True, cwd=ROOT, env=env, timeout=60, check=True,
        ).stdout.strip()
        for line in lines[1:4]
    )  # fmt: skip
    SECRETS.update(key.rsplit("_", 1)[1] for key in (viewer, speaker))
    (tmp_path / "3a.key").write_text(speaker)
    options = shlex.split(lines[4])
    assert options[:2] == ["care-voice", "serve"]
    running = RunningGateway.start(tmp_path / "log", *options[2:])
    try:
        assert running.url.startswith("https://0.0.0.0:")
        url, ca = running.url.replace("0.0.0.0", "localhost"), str(data / "tls/ca.pem")
        said = stream(env, "3A", "--url", url, "--ca", ca, "--token-file", str(tmp_path / "3a.key"))
        assert said.stdout.splitlines() == [f"00:00.6  {REFERENCES['en_00.wav']['text']}"]
        assert (
            "forbidden_bed"
            in stream(env, "3B", "--url", url, "--ca", ca, "--token-file", str(tmp_path / "3a.key")).stderr
        )
        assert "401" in stream(env, "3A", "--url", url, "--ca", ca).stderr
        trusting = ssl.create_default_context(cafile=ca)
        request = urllib.request.Request(f"{url}/v1/beds/3A/captions?format=txt")
        request.add_header("Authorization", f"Bearer {viewer}")
        with urllib.request.urlopen(request, timeout=10, context=trusting) as answer:
            assert REFERENCES["en_00.wav"]["text"] in answer.read().decode()
    finally:
        assert running.stop() == 0


def stream(env: dict[str, str], bed: str, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command("stream", "tests/data/audio/en_00.wav", "--bed", bed, "--fast", "4", *options),
        capture_output=True, text=True, cwd=ROOT, env=env, timeout=60, check=False,
    )  # fmt: skip


def test_nothing_local_is_in_the_documents() -> None:
    """No path of the machine that they were written on."""
    home = os.path.expanduser("~")
    for page in PAGES:
        assert str(ROOT) not in read(page)
        assert home == "/" or f"{home}/" not in read(page)
