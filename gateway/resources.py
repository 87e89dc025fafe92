"""Where the files that are no code lie: inside an installed wheel, or in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CONTAINER_DATA = Path("/app/data")


def static_dir() -> Path:
    """The pages."""
    return _find("static")


def bundled_models_dir() -> Path:
    """manifest.toml and the demo model. Read-only."""
    return _find("models")


def data_dir(configured: str = "") -> Path:
    """What the gateway must not lose: as configured, else /app/data if it exists, else the user's."""
    if configured:
        return Path(configured).expanduser().absolute()
    return _CONTAINER_DATA if _CONTAINER_DATA.is_dir() else Path("~/.local/share/care-voice").expanduser()


def _find(name: str) -> Path:
    """A wheel carries `name` in gateway/_bundled; a checkout has it beside gateway/."""
    bundled = _PACKAGE / "_bundled" / name
    return bundled if bundled.is_dir() else _PACKAGE.parent / name
