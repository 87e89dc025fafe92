"""Rules of resuming: name and secret together, and only by the same principal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.messages import Resume
from gateway.connection.opening import Refused
from gateway.connection.resuming import cannot_resume, check_resume, token_hash


def test_the_right_token_of_the_same_principal_continues() -> None:
    """Nothing is raised."""
    check_resume(Resume("s", "secret"), "alice", token_hash("secret"), "alice")


@pytest.mark.parametrize(("token", "principal"), [("guess", "alice"), ("secret", "mallory"), ("", "alice")])
def test_anything_else_is_forbidden(token: str, principal: str) -> None:
    """A wrong token and somebody else's session get the same answer: 4403."""
    with pytest.raises(Refused) as refused:
        check_resume(Resume("s", token), principal, token_hash("secret"), "alice")
    assert (refused.value.code, refused.value.close_code) == ("resume_forbidden", 4403)


@given(st.text(), st.text())
def test_only_the_token_itself_has_its_hash(a: str, b: str) -> None:
    """Any text can be hashed; different tokens differ."""
    if "\ud800" <= max(a + b, default="") <= "\udfff":
        return
    assert (token_hash(a) == token_hash(b)) == (a == b)


def test_a_session_that_is_gone_says_how_to_go_on() -> None:
    """Expired and unknown are told apart; both close 4410."""
    for expired, code in ((True, "resume_expired"), (False, "resume_unknown")):
        refused = cannot_resume(expired)
        assert (refused.code, refused.close_code) == (code, 4410)
        assert "without `resume`" in refused.message
