"""One key of a TOML file changes; everything else stays, to the byte where it can."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.loadtest.calibrate import CalibrationError, with_limit
from gateway.loadtest.rewriting import replace_file

LINES = st.sampled_from(
    ["", "# a comment with max_sessions = 9", "port = 8001", "host = '0.0.0.0'  # all", "retention_h = 0"]
)


@given(
    st.lists(LINES, max_size=4, unique=True),
    st.booleans(),
    st.lists(LINES, max_size=4, unique=True),
    st.integers(1, 9999),
)
def test_only_the_limit_changes(before: list[str], there: bool, after: list[str], limit: int) -> None:
    """Comments, other keys, other sections, order."""
    old = ["max_sessions = 200  # nurses' guess"] if there else []
    text = "\n".join(
        ["[server]", *before, *old, "", "[journal]", *[f"a{i} = 1" for i in range(len(after))], ""]
    )
    changed = with_limit(text, limit)
    document = tomllib.loads(changed)
    assert document["server"]["max_sessions"] == limit
    kept = [line for line in changed.splitlines() if not line.startswith("max_sessions")]
    assert kept == [line for line in text.splitlines() if not line.startswith("max_sessions")]
    assert ("# nurses' guess" in changed) == there


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "[server]\nmax_sessions = 7\n"),
        ("[log]\nlog_level = 'info'", "[log]\nlog_level = 'info'\n\n[server]\nmax_sessions = 7\n"),
        ("[server] # here\r\nport = 1\r\n", "[server] # here\r\nmax_sessions = 7\r\nport = 1\r\n"),
        ("[server]", "[server]\nmax_sessions = 7\n"),
    ],
)
def test_it_is_added_where_it_belongs(text: str, expected: str) -> None:
    """Below its section's head, or with a section of its own at the end."""
    assert with_limit(text, 7) == expected


@pytest.mark.parametrize("text", ["server.port = 1\n", "server = {port = 1}\n", "not toml", "server = 3"])
def test_what_cannot_be_changed_safely_is_left_alone(text: str) -> None:
    """It says what to write by hand, or what is wrong."""
    with pytest.raises(CalibrationError, match=r"by hand|not a TOML"):
        with_limit(text, 7)


def test_a_heading_inside_a_text_is_no_heading() -> None:
    """The result is read again before it is believed."""
    text = 'a = """\n[server]\n"""\n[server]\nport = 1\n'
    with pytest.raises(CalibrationError):
        with_limit(text, 7)


def test_a_file_is_replaced_whole(tmp_path) -> None:
    """Its mode stays, and a link stays a link."""
    real, link = tmp_path / "real.toml", tmp_path / "link.toml"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    replace_file(link, b"new")
    assert (real.read_bytes(), real.stat().st_mode & 0o777, link.is_symlink()) == (b"new", 0o640, True)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["link.toml", "real.toml"]
