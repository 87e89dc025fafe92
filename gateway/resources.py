"""Where the files that are no code lie: inside an installed wheel, or in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def static_dir() -> Path:
    """The pages."""
    return _find("static")


def bundled_models_dir() -> Path:
    """manifest.toml and the demo model. Read-only."""
    return _find("models")


def _find(name: str) -> Path:
    """A wheel carries `name` in gateway/_bundled; a checkout has it beside gateway/."""
    bundled = _PACKAGE / "_bundled" / name
    return bundled if bundled.is_dir() else _PACKAGE.parent / name
