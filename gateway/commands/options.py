"""shell: the settings as command-line options: each field of config.py is a flag, a variable and a TOML key.

Click keeps the order of precedence: flag, environment, file, default.
"""

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
OLDER_VARIABLES = {"model": "WHISPER_MODEL", "max_batch_size": "WHISPER_BATCH_SIZE"}
"""The first Care Voice's variables, still honoured."""
SECTIONS: dict[str, type[BaseModel]] = {name: type(section) for name, section in Settings()}


def with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command every setting as an option, and `--config`."""
    for section in reversed(SECTIONS.values()):
        for name, field in reversed(section.model_fields.items()):
            command = _option(name, field)(command)
    return click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        envvar=f"{PREFIX}CONFIG",
        callback=_read_file,
        help="TOML file with any of these settings; `--print-config` shows its shape.",
    )(command)


def settings_from(values: dict[str, Any]) -> Settings:
    """The validated settings from click's parameters. Raises click.UsageError naming the bad one."""
    sections = {
        section: {name: values[name] for name in model.model_fields} for section, model in SECTIONS.items()
    }
    try:
        return Settings.model_validate(sections)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        raise click.UsageError(
            f"--{name.replace('_', '-')}: {first['msg']} (got {first['input']!r})."
        ) from None


def as_toml(settings: Settings, context: click.Context) -> str:
    """The effective settings as a TOML file, each with where it came from."""
    lines: list[str] = []
    for section, values in settings.model_dump().items():
        lines.append(f"[{section}]")
        for name, value in values.items():
            source = context.get_parameter_source(name)
            origin = "" if source in {None, ParameterSource.DEFAULT} else f"  # {_origin(source)}"
            lines.append(f"{name} = {_toml_value(value)}{origin}")
        lines.append("")
    return "\n".join(lines)


def _origin(source: ParameterSource | None) -> str:
    names = {ParameterSource.DEFAULT_MAP: "file", ParameterSource.COMMANDLINE: "flag"}
    return names.get(source, "environment") if source else ""


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _option(name: str, field: FieldInfo) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    flag = f"--{name.replace('_', '-')}"
    variables = [f"{PREFIX}{name.upper()}", *([OLDER_VARIABLES[name]] if name in OLDER_VARIABLES else [])]
    kind: Any = field.annotation
    if get_origin(kind) is Literal:
        kind = click.Choice(get_args(kind))
    return click.option(
        f"{flag}/--no-{name.replace('_', '-')}" if kind is bool else flag,
        name,
        type=kind,
        default=field.default,
        envvar=variables,
        show_default=True,
        help=(field.description or "").replace(" *", ""),
    )


def _read_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path}: not a TOML file: {error}.") from None
    found: dict[str, Any] = {}
    for section, values in content.items():
        if section not in SECTIONS or not isinstance(values, dict):
            raise click.UsageError(f"{path}: no section [{section}]; there are {', '.join(SECTIONS)}.")
        for name, value in values.items():
            if name not in SECTIONS[section].model_fields:
                known = ", ".join(SECTIONS[section].model_fields)
                raise click.UsageError(f"{path}: [{section}] has no key {name}; it has {known}.")
            found[name] = value
    context.default_map = {**(context.default_map or {}), **found}
