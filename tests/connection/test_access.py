"""Rules of who may do what."""

from dataclasses import replace
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.access import (
    MAX_BEDS,
    NEEDS,
    OPEN,
    PAGES,
    PUBLIC,
    ROLES,
    AccessError,
    Need,
    Principal,
    check_binding,
    check_patterns,
    exposure,
    is_loopback,
    matches,
    may_speak,
    may_watch,
    narrow,
    needed,
    permit,
    watches_all,
    within,
)

SPEAKER = Principal("s", "speaker", ("3A",))
VIEWER = Principal("v", "viewer", ("3*", "ICU-1"))
ADMIN = Principal("a", "admin", ("*",))

beds = st.text("3AB床-", min_size=1, max_size=4)
patterns = st.text("3AB床-*?[]!", min_size=1, max_size=5)
principals = st.builds(
    Principal, st.just("k"), st.sampled_from(ROLES), st.lists(patterns, min_size=1, max_size=3).map(tuple)
)


def refusal(*arguments, **options) -> AccessError:
    call, *rest = arguments
    with pytest.raises(AccessError) as refused:
        call(*rest, **options)
    return refused.value


def test_a_speaker_speaks_at_its_bed_and_reads_nothing() -> None:
    """One bed is one bed; without a bed nobody else reads it, so that is allowed."""
    assert may_speak(SPEAKER, "3A")
    assert may_speak(SPEAKER, None)
    assert not may_speak(SPEAKER, "3B")
    assert not may_watch(SPEAKER, "3A")
    assert not watches_all(replace(SPEAKER, beds=("*",)))


def test_a_viewer_reads_its_beds_and_does_not_speak() -> None:
    """Names and patterns."""
    assert [may_watch(VIEWER, bed) for bed in ("3A", "3Z", "ICU-1", "ICU-10", "4A")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert not may_speak(VIEWER, "3A")
    assert not may_speak(VIEWER, None)
    assert not watches_all(VIEWER)
    assert watches_all(replace(VIEWER, beds=("*",)))


@given(beds)
def test_the_admin_and_everybody_of_an_open_gateway_may_do_all(bed: str) -> None:
    """Whatever the bed is called."""
    for principal in (ADMIN, OPEN):
        assert may_speak(principal, bed)
        assert may_watch(principal, bed)
        assert watches_all(principal)


@given(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=8))
def test_a_bed_is_matched_by_its_own_name(bed: str) -> None:
    """Also when it looks like a pattern that does not match itself, like 3[A]."""
    assert matches(bed, (bed,))
    assert matches(bed, ("*",))
    assert not matches(bed, ())


def test_names_are_matched_exactly() -> None:
    """3a is not 3A, on no operating system."""
    assert not matches("3a", ("3A",))
    assert not matches("3a", ("3[A-Z]",))


@given(patterns, patterns, beds)
def test_a_pattern_within_another_matches_nothing_beyond_it(asked: str, held: str, bed: str) -> None:
    """`within` may say no too often, never yes too often."""
    if within(asked, held) and matches(bed, (asked,)):
        assert matches(bed, (held,))


@pytest.mark.parametrize(
    ("asked", "held", "yes"),
    [
        ("3A", "3A", True), ("3A", "*", True), ("*", "*", True), ("3A", "3*", True), ("3A*", "3*", True),
        ("3?", "3*", True), ("3[AB]", "3[AB]", True), ("*", "3*", False), ("3*", "3A", False),
        ("3*", "3?", False), ("[ab]", "*a*", False), ("4A", "3*", False),
    ],
)  # fmt: skip
def test_what_lies_within_what(asked: str, held: str, yes: bool) -> None:
    """The cases that people write."""
    assert within(asked, held) is yes


@given(principals, st.none() | st.sampled_from(ROLES), st.none() | st.lists(patterns, max_size=3), beds)
def test_narrowing_never_widens(
    principal: Principal, role: str | None, asked: list[str] | None, bed: str
) -> None:
    """Whatever the narrowed one may do, the one it was made from might do."""
    try:
        less = narrow(principal, role, asked)
    except AccessError:
        return
    assert may_speak(principal, bed) or not may_speak(less, bed)
    assert may_watch(principal, bed) or not may_watch(less, bed)
    assert watches_all(principal) or not watches_all(less)
    assert less.id == principal.id
    assert less.role == (role or principal.role)


def test_narrowing_says_why_not() -> None:
    """By name."""
    assert refusal(narrow, SPEAKER, "admin", None).code == "wider_role"
    assert refusal(narrow, SPEAKER, "nurse", None).code == "bad_role"
    assert refusal(narrow, VIEWER, None, ["*"]).code == "wider_beds"
    assert refusal(narrow, VIEWER, None, []).code == "bad_beds"
    assert narrow(VIEWER, None, ["3A"]).beds == ("3A",)
    assert narrow(ADMIN, "viewer", ["3A"]).role == "viewer"
    assert narrow(VIEWER, None, None) == VIEWER
    assert not narrow(replace(VIEWER, renewable=True), None, None).renewable


@pytest.mark.parametrize("bad", [[], ["a/b"], ["a,b"], [""], ["a\n"], ["x" * 65], ["a"] * (MAX_BEDS + 1)])
def test_beds_of_a_key_are_bounded_and_printable(bad: list[str]) -> None:
    """What check_bed refuses can be nobody's bed."""
    assert refusal(check_patterns, bad).code == "bad_beds"


# --- routes ---


def test_an_unknown_route_is_the_admins() -> None:
    """Whoever adds a route and forgets the table opens nothing."""
    assert needed("/v2/anything") is Need.ADMIN
    assert "/v2/anything" not in NEEDS


@pytest.mark.parametrize(
    ("need", "speaker", "viewer", "admin"),
    [
        (Need.PROBE, 0, 0, 0), (Need.NOTHING, 0, 0, 0), (Need.LOGIN, 0, 0, 0), (Need.SPEAK, 0, 403, 0),
        (Need.SPEAK_PAGE, 0, 403, 0), (Need.WATCH, 403, 0, 0), (Need.WATCH_PAGE, 403, 0, 0),
        (Need.ADMIN, 403, 403, 0),
    ],
)  # fmt: skip
def test_each_need_lets_its_roles_pass(need: Need, speaker: int, viewer: int, admin: int) -> None:
    """403 for the others, 401 for those who did not say who they are."""
    for principal, status in ((SPEAKER, speaker), (VIEWER, viewer), (ADMIN, admin)):
        if status:
            assert refusal(permit, principal, need).status == status
        else:
            permit(principal, need)
    if need in PUBLIC:
        permit(None, need)
    else:
        assert refusal(permit, None, need).status == 401


def test_a_route_of_a_bed_asks_for_that_bed() -> None:
    """The bed in the path counts."""
    permit(VIEWER, Need.WATCH, "3B")
    assert refusal(permit, VIEWER, Need.WATCH, "4B").status == 403
    assert refusal(permit, SPEAKER, Need.SPEAK, "3B").status == 403
    assert PAGES.isdisjoint(PUBLIC)


# --- binding ---


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True), ("localhost", True),
        ("LOCALHOST", True), ("0.0.0.0", False), ("::", False), ("", False), ("192.168.1.5", False),
        ("ward-pc", False), ("localhost.evil.example", False), ("127.0.0.1.evil.example", False),
    ],
)  # fmt: skip
def test_what_only_this_machine_reaches(host: str, local: bool) -> None:
    """The empty host is every address."""
    assert is_loopback(host) is local
    assert (check_binding(host, has_keys=False, insecure=False, tls=True) is None) is local


@given(
    st.sampled_from(["127.0.0.1", "0.0.0.0", "::", "", "ward"]), st.booleans(), st.booleans(), st.booleans()
)
def test_it_refuses_to_listen_openly_unless_told_to(host: str, keys: bool, insecure: bool, tls: bool) -> None:
    """Only keys, --insecure or the loopback let it start; the refusal says what to do."""
    refused = check_binding(host, keys, insecure, tls)
    assert (refused is None) is (keys or insecure or is_loopback(host))
    if refused:
        assert "care-voice token create" in refused
        assert "--insecure" in refused
        assert ("--tls-self-signed" in refused) is not tls


def test_it_says_what_is_exposed() -> None:
    """Open is said everywhere; no TLS only where somebody could listen."""
    assert "open" in str(exposure("127.0.0.1", has_keys=False, tls=False, behind_proxy=False))
    assert "insecure" in str(exposure("0.0.0.0", has_keys=False, tls=True, behind_proxy=False))
    assert "no TLS" in str(exposure("0.0.0.0", has_keys=True, tls=False, behind_proxy=False))
    assert exposure("0.0.0.0", has_keys=True, tls=False, behind_proxy=True) is None
    assert exposure("0.0.0.0", has_keys=True, tls=True, behind_proxy=False) is None
    assert exposure("::1", has_keys=True, tls=False, behind_proxy=False) is None


def test_patterns_are_fnmatch_of_the_case_sensitive_kind() -> None:
    """The documented kind."""
    assert fnmatchcase("3A", "3?") == matches("3A", ("3?",))
