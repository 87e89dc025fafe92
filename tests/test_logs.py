"""Rules of the log: no secret in any line, whoever wrote it."""

import logging
import subprocess
import sys

import pytest

from gateway.logs import BlottingFormatter, blot

KEY = "cv_4d27sf6t_mduvbg5wtfybvngk55ixt4h5dnmxkhsli6yqeic7f2v567gimgwa"
TOKEN = "eyJhbGciOiJIUzI1NiIsImtpZCI6InMxIn0.eyJzdWIiOiJ4In0.c2lnbmF0dXJl-_x"


@pytest.mark.parametrize(
    "line",
    [
        KEY,
        f"Authorization: Bearer {KEY}",
        f"b'GET /v1/captions?token={KEY} HTTP/1.1'",
        f"protocols ['care-voice.v1', 'care-voice.token.{TOKEN}']",
        f"Cookie: care-voice={TOKEN}; theme=dark",
        f"__Host-care-voice={TOKEN}",
        f"/v1/captions?beds=3A&token={TOKEN}&after=1",
        f"Invalid header value char: b'bearer  opaque-{KEY[12:]}\\x00'",
        TOKEN,
    ],
)
def test_secrets_are_blotted_out(line: str) -> None:
    """Keys and tokens, however they are shown; the key's public id may stay."""
    text = blot(line)
    assert KEY[12:] not in text
    assert "eyJ" not in text
    assert "***" in text


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "listening", "url": "http://127.0.0.1:8001"}',
        "refused code=no_token route=/v1/stream address=10.0.0.1",
        "key=4d27sf6t role=speaker",
        "recv_buffer_full",
    ],
)
def test_other_lines_stay(line: str) -> None:
    """Nothing else looks like a secret."""
    assert blot(line) == line


def test_exceptions_of_libraries_are_blotted_out() -> None:
    """Their text and their traceback."""
    try:
        raise ValueError(f"bad header: Bearer {KEY}")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "about %s", (KEY,), sys.exc_info())
    assert KEY[12:] not in BlottingFormatter("%(message)s").format(record)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_the_programs_own_log_is_blotted_out(log_format: str) -> None:
    """Events, their fields and exceptions, in both formats, and the libraries' loggers."""
    code = f"""
import logging, structlog
from gateway import logs
from gateway.config import LogSettings
logs.configure(LogSettings(log_format={log_format!r}))
log = structlog.get_logger()
log.info("shown {KEY}", header="Bearer {TOKEN}")
try:
    raise ValueError("{KEY}")
except ValueError:
    log.exception("failed")
    logging.getLogger("aiohttp.server").exception("failed too")
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stderr
    assert shown.count("***") >= 4, shown
    assert KEY[12:] not in shown
    assert "eyJ" not in shown
