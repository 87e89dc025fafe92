"""How the gateway says what it does: JSON lines or a readable console, on stderr.

Nothing spoken is ever logged: no transcript, no audio, no hotword. Events carry numbers and names of things.
Keys and tokens are blotted out of every line, because libraries quote what they could not read.
"""

import logging
import re
import sys

import structlog

from gateway.config import LogSettings

SECRET = re.compile(
    r"(?<![A-Za-z0-9])cv_([a-z0-9]{1,16})_[A-Za-z0-9]+"  # an API key; its id may stay
    r"|eyJ[\w-]{5,}\.[\w-]*(\.[\w-]*)?"  # a token
    r"|(?i:bearer|care-voice\.token\.|[?&]token=|care-voice=)(\s*)[^\s\"'&;,]+"  # whatever is shown as one
)


def blot(text: str) -> str:
    """The text without secrets."""
    return SECRET.sub(lambda found: f"cv_{found[1]}_***" if found[1] else "***", text)


class BlottingFormatter(logging.Formatter):
    """For the libraries; of exceptions too."""

    def format(self, record: logging.LogRecord) -> str:
        return blot(super().format(record))


def _blot_line(_: object, __: str, line: str) -> str:
    return blot(line)


def configure(settings: LogSettings) -> None:
    """Set up structlog, and the few libraries that use logging, for this process."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
            _blot_line,  # type: ignore[list-item]  # after the renderer, the event is text
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(BlottingFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler])
