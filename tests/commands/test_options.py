import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from gateway.commands.options import OLDER_VARIABLES, PREFIX, SECTIONS, as_toml, settings_from
from gateway.commands.serve import serve
from gateway.config import Settings

FIELDS = [
    (section, name, field)
    for section, model in SECTIONS.items()
    for name, field in model.model_fields.items()
]
NAMES = [name for _, name, _ in FIELDS]
DEFAULTS = {name: getattr(getattr(Settings(), section), name) for section, name, _ in FIELDS}


def run(*arguments: str, **environment: str) -> Result:
    """`care-voice serve ...` in an environment of exactly these variables (of ours)."""
    clean = {f"{PREFIX}{name.upper()}": "" for name in (*NAMES, "config")}
    older = dict.fromkeys(["WHISPER_MODEL", "WHISPER_BATCH_SIZE", "ENABLE_FP16"], "")
    return CliRunner().invoke(serve, list(arguments), env=clean | older | environment)


def printed(*arguments: str, **environment: str) -> dict[str, Any]:
    """The settings that `--print-config` shows, by section."""
    result = run(*arguments, "--print-config", **environment)
    assert result.exit_code == 0, result.output
    return tomllib.loads(result.stdout)


def file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def another(name: str, field: FieldInfo) -> Any:
    """A value that is allowed and is not the default."""
    kind, default = field.annotation, field.default
    if get_origin(kind) is Literal:
        return next(choice for choice in get_args(kind) if choice != default)
    if kind is bool:
        return not default
    if kind is str:
        return f"another {name}"
    limits = {
        key: getattr(rule, key)
        for rule in field.metadata
        for key in ("gt", "ge", "lt", "le")
        if hasattr(rule, key)
    }
    above, below = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
    if kind is float:
        return (default + (below if below is not None else default + 1 if above is not None else 0)) / 2
    return default + 1 if below is None or default < below else default - 1


@pytest.mark.parametrize(("section", "name", "field"), FIELDS, ids=NAMES)
def test_every_setting_is_a_flag_a_variable_and_a_key(
    section: str, name: str, field: FieldInfo, tmp_path: Path
) -> None:
    """The same value arrives by each of the three ways, and is not the default."""
    value = another(name, field)
    assert value != field.default
    flag = f"--{name.replace('_', '-')}"
    switch = (
        [flag if value else flag.replace("--", "--no-")] if field.annotation is bool else [flag, str(value)]
    )
    written = (
        str(value).lower()
        if isinstance(value, bool)
        else f'"{value}"'
        if isinstance(value, str)
        else str(value)
    )
    ways = (
        printed(*switch),
        printed(**{f"{PREFIX}{name.upper()}": str(value)}),
        printed("--config", file(tmp_path, f"[{section}]\n{name} = {written}\n")),
    )
    for found in ways:
        assert found[section][name] == value


def test_names_are_unique_over_all_sections() -> None:
    """A flag has no section, so no two sections may share a name."""
    assert len(set(NAMES)) == len(NAMES)
    assert not {"config", "print_config", "help"} & set(NAMES)


def test_what_is_said_nowhere_is_the_default() -> None:
    """Without flag, variable or file the settings are those of config.py."""
    assert Settings.model_validate(printed()) == Settings()


@pytest.mark.parametrize(
    ("flag", "variable", "in_file", "expected"),
    [
        ("1", "2", "3", 1),
        (None, "2", "3", 2),
        (None, None, "3", 3),
        ("1", None, "3", 1),
        (None, None, None, 8001),
    ],
)
def test_a_flag_beats_a_variable_beats_the_file(
    flag: str | None, variable: str | None, in_file: str | None, expected: int, tmp_path: Path
) -> None:
    """Precedence: flag, environment, file, default."""
    arguments = ["--port", flag] if flag else []
    if in_file:
        arguments += ["--config", file(tmp_path, f"[server]\nport = {in_file}\n")]
    environment = {"CARE_VOICE_PORT": variable} if variable else {}
    assert printed(*arguments, **environment)["server"]["port"] == expected


def test_the_file_can_be_named_by_a_variable(tmp_path: Path) -> None:
    """CARE_VOICE_CONFIG is --config."""
    path = file(tmp_path, "[ward]\nkept_captions = 7\n")
    assert printed(CARE_VOICE_CONFIG=path)["ward"]["kept_captions"] == 7


def test_print_config_says_where_a_value_came_from(tmp_path: Path) -> None:
    """Each value that is not the default carries its origin as a comment; a variable is named."""
    path = file(tmp_path, "[server]\nmax_sessions = 5\n")
    variables = {"CARE_VOICE_HOST": "::1", "WHISPER_BATCH_SIZE": "4", "ENABLE_FP16": "0"}
    output = run("--print-config", "--config", path, "--port", "9001", **variables).stdout
    assert "port = 9001  # flag\n" in output
    assert 'host = "::1"  # environment: CARE_VOICE_HOST\n' in output
    assert "max_batch_size = 4  # environment: WHISPER_BATCH_SIZE\n" in output
    assert 'compute_type = "float32"  # environment: ENABLE_FP16\n' in output
    assert "max_sessions = 5  # file\n" in output
    assert output.count("#") == 5


def test_what_print_config_shows_is_a_file_that_means_the_same(tmp_path: Path) -> None:
    """--print-config > FILE, --config FILE: the same settings, all of them changed."""
    arguments = []
    for _, name, field in FIELDS:
        value, flag = another(name, field), f"--{name.replace('_', '-')}"
        arguments += (
            [flag if value else f"--no-{flag[2:]}"] if isinstance(value, bool) else [flag, str(value)]
        )
    output = run(*arguments, "--print-config").stdout
    again = printed("--config", file(tmp_path, output))
    assert again == tomllib.loads(output)
    assert Settings.model_validate(again) != Settings()


@given(
    port=st.integers(0, 65535),
    seconds=st.floats(0, exclude_min=True, allow_nan=False),
    silero=st.booleans(),
    model=st.text(),
    host=st.text(st.sampled_from('"\\#\n\r\t\x00\x1f\x7f\x85\u2028床😀')),
)
@example(port=1, seconds=float("inf"), silero=True, model='a "b" \\c\x7f', host="\ufeff")
def test_settings_survive_being_printed_and_read(
    port: int, seconds: float, silero: bool, model: str, host: str
) -> None:
    """Any value that is accepted comes back from TOML as it was given: quotes, controls, all of Unicode."""
    values = {"port": port, "idle_timeout_s": seconds, "silero": silero, "model": model, "host": host}
    settings = settings_from(DEFAULTS | values, click.Context(serve))
    text = as_toml(settings, click.Context(serve))
    assert Settings.model_validate(tomllib.loads(text), strict=True) == settings


def test_what_is_no_text_is_refused() -> None:
    """Bytes of the command line that are not UTF-8 would fit in no TOML file."""
    for result in (run("--model", "\udcff"), run(WHISPER_MODEL="\udcff")):
        assert result.exit_code == 2
        assert "--model" in result.output
        assert r"'\udcff' is not UTF-8" in result.output


# --- the first Care Voice's variables --------------------------------------------------------------------------


def test_older_variables_still_work() -> None:
    """WHISPER_MODEL, WHISPER_BATCH_SIZE and ENABLE_FP16 mean what they meant."""
    found = printed(WHISPER_MODEL="small", WHISPER_BATCH_SIZE="16", ENABLE_FP16="true")
    assert found["model"]["model"] == "small"
    assert found["inference"]["max_batch_size"] == 16
    assert found["model"]["compute_type"] == "float16"


@pytest.mark.parametrize(
    ("said", "compute_type"),
    [
        ("1", "float16"),
        ("TRUE", "float16"),
        ("yes", "float16"),
        ("0", "float32"),
        ("false", "float32"),
        ("", "auto"),
    ],
)
def test_enable_fp16_chooses_the_compute_type(said: str, compute_type: str) -> None:
    """On is float16, off is float32, nothing said is auto."""
    assert printed(ENABLE_FP16=said)["model"]["compute_type"] == compute_type


def test_newer_names_beat_the_older_ones() -> None:
    """Who says both means the one of this version."""
    both = {f"{PREFIX}{name.upper()}": "3" for name in OLDER_VARIABLES} | dict.fromkeys(
        OLDER_VARIABLES.values(), "4"
    )
    found = printed(**both | {"ENABLE_FP16": "1", "CARE_VOICE_COMPUTE_TYPE": "int8"})
    assert found["model"] == printed()["model"] | {"model": "3", "compute_type": "int8"}
    assert found["inference"]["max_batch_size"] == 3
    assert printed("--compute-type", "float32", ENABLE_FP16="1")["model"]["compute_type"] == "float32"


def test_an_older_variable_beats_the_file(tmp_path: Path) -> None:
    """They are of the environment, as those of this version."""
    text = '[model]\nmodel = "a"\ncompute_type = "int8"\n[inference]\nmax_batch_size = 2\n'
    older = {"WHISPER_MODEL": "b", "WHISPER_BATCH_SIZE": "3", "ENABLE_FP16": "yes"}
    found = printed("--config", file(tmp_path, text), **older)
    assert found["model"] == printed()["model"] | {"model": "b", "compute_type": "float16"}
    assert found["inference"]["max_batch_size"] == 3


# --- mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("[server]\nprt = 1\n", ["[server]", "prt", "port"]),
        ("[sever]\nport = 1\n", ["[sever]", "server"]),
        ("port = 1\n", ["[port]", "server"]),
        ("[ward]\nport = 1\n", ["[ward]", "port", "kept_captions"]),
        ("[server\n", ["TOML", "line 1"]),
        ("[server]\nport = 1\nport = 2\n", ["TOML", "line 3"]),
        (f"[server]\nport = {'1' * 5000}\n", ["TOML", "digits"]),
    ],
)
def test_a_mistake_in_the_file_is_named(content: str, named: list[str], tmp_path: Path) -> None:
    """An unknown section or key is never ignored: the file, what is wrong and what there is are said."""
    path = file(tmp_path, content)
    result = run("--config", path, "--print-config")
    assert result.exit_code == 2
    for part in (*named, path):
        assert part in result.output


@pytest.mark.parametrize(
    ("section", "line", "wanted"),
    [
        ("server", "port = 80.5", "integer"),
        ("server", "port = 80.0", "integer"),
        ("server", "port = true", "integer"),
        ("server", 'port = "80"', "integer"),
        ("server", "port = 1979-05-27", "integer"),
        ("server", "start_timeout_s = true", "number"),
        ("server", 'start_timeout_s = "1"', "number"),
        ("server", f"start_timeout_s = {'9' * 400}", "number"),
        ("server", "host = 1", "string"),
        ("model", 'model = ["a"]', "string"),
        ("model", "model = {a = 1}", "string"),
        ("model", "device = 1", "'auto', 'cuda' or 'cpu'"),
        ("detection", "silero = 3", "boolean"),
        ("detection", "silero = 1", "boolean"),
        ("detection", 'silero = "true"', "boolean"),
    ],
)
def test_a_value_of_another_type_is_refused(section: str, line: str, wanted: str, tmp_path: Path) -> None:
    """Nothing in the file is converted: file, section, key and the type that is wanted are said."""
    path = file(tmp_path, f"[{section}]\n{line}\n")
    name = line.split()[0]
    for flags in ([], [f"--{name.replace('_', '-')}", "1"]):  # a flag mends the value, not the file
        result = run("--config", path, "--print-config", *(flags if name != "silero" else []))
        assert result.exit_code == 2
        assert f"{path}: [{section}] {name}" in result.output
        assert wanted in result.output


def test_a_whole_number_is_a_number(tmp_path: Path) -> None:
    """`10` will do where `10.0` is meant."""
    found = printed("--config", file(tmp_path, "[server]\nidle_timeout_s = 10\n"))
    assert found["server"]["idle_timeout_s"] == 10.0


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A missing --config is not a gateway with defaults."""
    result = run("--config", str(tmp_path / "none.toml"), "--print-config")
    assert result.exit_code == 2
    assert "none.toml" in result.output


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--port", "65536"),
        ("--port", "eight"),
        ("--max-sessions", "0"),
        ("--endpointing-ms", "99"),
        ("--max-utterance-ms", "30000"),
        ("--silero-threshold", "1"),
        ("--device", "gpu"),
        ("--compute-type", "fp16"),
        ("--script", "jp"),
        ("--log-level", "loud"),
        ("--send-timeout-s", "0"),
        ("--drain-grace-s", "-1"),
        ("--idle-timeout-s", "nan"),
    ],
)
def test_a_bad_value_names_its_option(flag: str, value: str, tmp_path: Path) -> None:
    """Exit status 2; the option, the value and where it came from in the message."""
    name = flag[2:].replace("-", "_")
    section = next(section for section, field, _ in FIELDS if field == name)
    quoted = f'"{value}"' if value.isalnum() and not value.isdigit() and value != "nan" else value
    variable, path = f"{PREFIX}{name.upper()}", file(tmp_path, f"[{section}]\n{name} = {quoted}\n")
    ways = {
        f"{flag}:": run(flag, value, "--print-config"),
        f"{variable}={value} ({flag}):": run("--print-config", **{variable: value}),
        f"{path}: [{section}] {name} ({flag}):": run("--print-config", "--config", path),
    }
    for source, result in ways.items():
        assert result.exit_code == 2, result.output
        assert source in result.output
        assert value in result.output.replace(source, "")


@pytest.mark.parametrize(
    ("variable", "value", "flag"),
    [
        ("WHISPER_BATCH_SIZE", "abc", "--max-batch-size"),
        ("WHISPER_BATCH_SIZE", "-1", "--max-batch-size"),
        ("CARE_VOICE_SILERO", "perhaps", "--silero"),
        ("CARE_VOICE_CONFIG", "/none.toml", "--config"),
    ],
)
def test_a_bad_variable_is_named(variable: str, value: str, flag: str) -> None:
    """The one that spoke, also where it is the older of two."""
    result = run("--print-config", **{variable: value})
    assert result.exit_code == 2
    assert f"{variable}={value} ({flag}):" in result.output


def test_an_unknown_flag_is_refused() -> None:
    """Nothing is ignored on the command line either."""
    result = run("--prot", "1")
    assert result.exit_code == 2
    assert "--prot" in result.output


# --- exit status ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "no-such-model"], "care-voice models list"),
        (["--model", "small"], "care-voice models pull small"),
        (["--model", "./no/such/directory"], "no such directory"),
    ],
)
def test_a_gateway_that_cannot_start_exits_1_and_says_what_to_do(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    """Not a traceback: the reason and the way out, on standard error."""
    result = run(*arguments, "--device", "cpu", "--port", "0", CARE_VOICE_MODELS_DIR=str(tmp_path))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_the_command_line_works_as_a_module_too() -> None:
    """`python -m gateway` is `care-voice`."""
    command = [sys.executable, "-m", "gateway", "serve", "--print-config"]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CARE_", "WHISPER_", "ENABLE_"))
    }
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert Settings.model_validate(tomllib.loads(shown.stdout)) == Settings()
