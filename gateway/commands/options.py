"""shell: the settings as command-line options: each field of config.py is a flag, a variable and a TOML key.

Click keeps the order of precedence: flag, environment, file, default. A refusal names the one that spoke.
"""

import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from click.core import ParameterSource
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from gateway.config import Settings

PREFIX = "CARE_VOICE_"
OLDER_VARIABLES = {
    "model": "WHISPER_MODEL",
    "max_batch_size": "WHISPER_BATCH_SIZE",
    "compute_type": "ENABLE_FP16",
}
"""The first Care Voice's variables, still honoured."""
SECTIONS: dict[str, type[BaseModel]] = {name: type(section) for name, section in Settings()}
FILE = "gateway.config_file"
"""Where click's context keeps the path of the file that was read."""


class _Text(click.types.StringParamType):
    """Unicode: bytes of another encoding could not be written into a file and read again."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fail(f"{value!r} is not UTF-8.", param, ctx)
        return value


class Setting(click.Option):
    """An option whose refusal names where its value came from."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        return source_of(ctx, self.name) if ctx else super().get_error_hint(ctx)

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """ENABLE_FP16 says yes or no; every other variable says the value itself."""
        value = super().resolve_envvar_value(ctx)
        if value and _variable_of(self.name) == "ENABLE_FP16":
            return "float16" if value.lower() in {"1", "true", "yes", "on"} else "float32"
        return value


def with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command every setting as an option, and `--config`."""
    for section in reversed(SECTIONS.values()):
        for name, field in reversed(section.model_fields.items()):
            command = _option(name, field)(command)
    return click.option(
        "--config",
        cls=Setting,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        envvar=_variables("config"),
        callback=_read_file,
        help="TOML file with any of these settings; `--print-config` shows its shape.",
    )(command)


def settings_from(values: dict[str, Any], context: click.Context) -> Settings:
    """The validated settings from click's parameters. Raises click.UsageError naming the bad one's source."""
    sections = {
        section: {name: values[name] for name in model.model_fields} for section, model in SECTIONS.items()
    }
    try:
        return Settings.model_validate(sections)
    except ValidationError as error:
        source = source_of(context, str(error.errors()[0]["loc"][-1]))
        raise click.UsageError(_refusal(source, error)) from None


def source_of(context: click.Context, name: str) -> str:
    """What gave a setting its value: the flag, `VARIABLE=value (flag)` or `file: [section] key (flag)`."""
    flag = f"--{name.replace('_', '-')}"
    match context.get_parameter_source(name):
        case ParameterSource.ENVIRONMENT:
            variable = _variable_of(name)
            return f"{variable}={os.environ[variable]} ({flag})"
        case ParameterSource.DEFAULT_MAP:
            section = next(section for section, model in SECTIONS.items() if name in model.model_fields)
            return _place(context.meta[FILE], section, name)
    return flag


def as_toml(settings: Settings, context: click.Context) -> str:
    """The effective settings as a TOML file, each with where it came from."""
    lines: list[str] = []
    for section, values in settings.model_dump().items():
        lines.append(f"[{section}]")
        for name, value in values.items():
            lines.append(f"{name} = {_toml_value(value)}{_origin(context, name)}")
        lines.append("")
    return "\n".join(lines)


def _origin(context: click.Context, name: str) -> str:
    match context.get_parameter_source(name):
        case ParameterSource.COMMANDLINE:
            return "  # flag"
        case ParameterSource.ENVIRONMENT:
            return f"  # environment: {_variable_of(name)}"
        case ParameterSource.DEFAULT_MAP:
            return "  # file"
    return ""


def _toml_value(value: object) -> str:
    """A JSON string is a TOML one, but that TOML wants DEL escaped and no surrogate pairs."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _variables(name: str) -> list[str]:
    """The environment variables of a setting; the first that is not empty counts."""
    return [f"{PREFIX}{name.upper()}", *([OLDER_VARIABLES[name]] if name in OLDER_VARIABLES else [])]


def _variable_of(name: str) -> str:
    """The one that counts, of a setting that the environment has."""
    return next(variable for variable in _variables(name) if os.environ.get(variable))


def _option(name: str, field: FieldInfo) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    flag = f"--{name.replace('_', '-')}"
    kind: Any = field.annotation
    if get_origin(kind) is Literal:
        kind = click.Choice(get_args(kind))
    elif kind is str:
        kind = _Text()
    return click.option(
        f"{flag}/--no-{name.replace('_', '-')}" if kind is bool else flag,
        name,
        cls=Setting,
        type=kind,
        default=field.default,
        envvar=_variables(name),
        show_default=True,
        help=(field.description or "").replace(" *", ""),
    )


def _read_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not TOML, not UTF-8, or a number of thousands of digits
        raise click.UsageError(f"{path}: not a TOML file: {error}.") from None
    found: dict[str, Any] = {}
    for section, values in content.items():
        _check_section(path, section, values)
        found |= values
    context.meta[FILE] = path
    context.default_map = {**(context.default_map or {}), **found}


def _check_section(path: Path, section: str, values: Any) -> None:
    """Raises click.UsageError for what is unknown, of another type or out of range: nothing is converted."""
    if section not in SECTIONS or not isinstance(values, dict):
        raise click.UsageError(f"{path}: no section [{section}]; there are {', '.join(SECTIONS)}.")
    known = SECTIONS[section].model_fields
    for name in values:
        if name not in known:
            raise click.UsageError(f"{path}: [{section}] has no key {name}; it has {', '.join(known)}.")
    try:
        SECTIONS[section].model_validate(values, strict=True)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][-1])
        raise click.UsageError(_refusal(_place(path, section, name), error)) from None


def _place(path: Path, section: str, name: str) -> str:
    return f"{path}: [{section}] {name} (--{name.replace('_', '-')})"


def _refusal(source: str, error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{source}: {first['msg']} (got {first['input']!r})."
