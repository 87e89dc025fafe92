"""Rules of where a request comes from and what it shows."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.access import AccessError
from gateway.connection.origin import (
    Client,
    Credential,
    check_host,
    check_origin,
    client_of,
    cookie_name,
    credential_of,
    networks,
    safe_next,
    split_list,
)

PROXIES = networks("10.0.0.1, 192.168.0.0/16, fd00::/8")


def code(call, *arguments, **options) -> str:
    with pytest.raises(AccessError) as refused:
        call(*arguments, **options)
    return refused.value.code


# --- proxies ---


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "proto", "address", "secure"),
    [
        ("203.0.113.9", "1.2.3.4", "https", "203.0.113.9", False),  # not our proxy: not believed
        ("10.0.0.1", "1.2.3.4", "https", "1.2.3.4", True),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4", "http", "1.2.3.4", False),  # the client wrote 6.6.6.6 itself
        ("10.0.0.1", "1.2.3.4, 192.168.7.7", "http, https", "1.2.3.4", True),
        ("10.0.0.1", "192.168.7.7", "", "192.168.7.7", False),
        ("10.0.0.1", "", "", "10.0.0.1", False),
        ("fd00::5", "2001:db8::1", "https", "2001:db8::1", True),
    ],
)
def test_only_trusted_proxies_are_believed(peer, forwarded_for, proto, address, secure) -> None:
    """The last hop that is no proxy of ours is the client."""
    assert client_of(peer, False, forwarded_for, proto, PROXIES) == Client(address, secure)


def test_our_own_tls_counts_without_a_proxy() -> None:
    """And with one that says http."""
    assert client_of("203.0.113.9", True, "", "", ()).secure
    assert client_of("10.0.0.1", True, "", "http", PROXIES).secure


@given(st.text(), st.text())
def test_strangers_cannot_forge_their_address(forwarded_for: str, proto: str) -> None:
    """Whatever they write."""
    assert client_of("203.0.113.9", False, forwarded_for, proto, PROXIES) == Client("203.0.113.9", False)


def test_networks_are_checked() -> None:
    """A list that is none is an error at the start, not a proxy nobody trusts."""
    with pytest.raises(ValueError):
        networks("the proxy")
    assert networks("") == ()
    assert split_list(" a ,, b,") == ("a", "b")


# --- DNS rebinding ---


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8001", "127.0.0.1:8001", "[::1]:8001", "[::1]", "Ward-PC:8001", "192.168.1.7"],
)
def test_our_names_are_known(host: str) -> None:
    """Addresses cannot be rebound; names must be ours."""
    check_host(host, ("ward-pc",))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8001",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        ":8001",
    ],
)
def test_other_names_are_refused(host: str) -> None:
    """The page of a rebound name says that name in Host."""
    assert code(check_host, host, ("ward-pc",)) == "unknown_host"


# --- origins ---


@pytest.mark.parametrize(
    ("origin", "host", "secure"),
    [
        ("http://localhost:8001", "localhost:8001", False),
        ("https://ward.example", "ward.example", True),
        ("https://ward.example", "ward.example", False),  # behind a proxy that nobody told us of
        ("HTTPS://Ward.example", "ward.example", True),
        ("https://other.example", "ward.example", True),
    ],
)
def test_our_own_pages_and_allowed_ones_may(origin: str, host: str, secure: bool) -> None:
    """The origin names the host that was asked, or one that the operator named."""
    for ambient in (False, True):
        check_origin(origin, host, secure, ("https://other.example",), ambient, acts=True)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example", "null", "", "http://ward.example", "https://ward.example:444",
        "https://ward.example.evil.example", "https://evil.ward.example", "https://ward.example@evil.example",
        "file://", "https://ward.example/",
    ],
)  # fmt: skip
def test_foreign_pages_may_not(origin: str) -> None:
    """With or without a cookie, WebSocket or not; http is not https."""
    for ambient in (False, True):
        for acts in (False, True):
            refused = code(check_origin, origin, "ward.example", True, (), ambient, acts)
            assert refused == "foreign_origin"


@given(st.text(min_size=1), st.booleans(), st.booleans())
def test_an_origin_passes_only_when_it_is_the_host(origin: str, ambient: bool, acts: bool) -> None:
    """Exactly, but for the case of letters."""
    try:
        check_origin(origin, "a.example:1", True, (), ambient, acts)
    except AccessError:
        return
    assert origin.lower() == "https://a.example:1"


def test_a_cookie_alone_opens_no_socket_without_an_origin() -> None:
    """Browsers always send one with WebSockets and POSTs."""
    assert code(check_origin, None, "h", True, (), True, True) == "no_origin"
    check_origin(None, "h", True, (), ambient=False, acts=True)  # a device with a key
    check_origin(None, "h", True, (), ambient=True, acts=False)  # following a link


# --- credentials ---


def test_a_credential_is_found_wherever_it_is_shown() -> None:
    """Header, subprotocol, address (where allowed), cookie."""
    assert credential_of("Bearer abc", "", None, None, False) == Credential("abc", "bearer")
    assert credential_of("bearer  abc ", "", None, None, False) == Credential("abc", "bearer")
    offered = "care-voice.v1, care-voice.token.a.b-c_d"
    assert credential_of(None, offered, None, None, False) == Credential("a.b-c_d", "subprotocol")
    assert credential_of(None, "", None, "abc", True) == Credential("abc", "query")
    assert credential_of(None, "", "abc", None, False) == Credential("abc", "cookie")
    assert credential_of(None, "care-voice.v1", None, None, False) is None


def test_the_most_deliberate_one_counts() -> None:
    """A wrong header is not made good by a cookie."""
    shown = credential_of("Bearer a", "care-voice.v1,care-voice.token.b", "c", "d", True)
    assert shown == Credential("a", "bearer")
    assert credential_of(None, "care-voice.v1,care-voice.token.b", "c", "d", True) == Credential(
        "b", "subprotocol"
    )


@pytest.mark.parametrize("header", ["Basic YWxs", "Bearer", "Bearer ", "", "abc"])
def test_other_kinds_of_authorization_are_refused(header: str) -> None:
    """By name, not ignored."""
    assert code(credential_of, header, "", "cookie", None, False) == "bad_authorization"


@pytest.mark.parametrize(
    "offered", ["care-voice.token.a", "care-voice.v1,care-voice.token.a,care-voice.token.b"]
)
def test_the_token_stands_beside_the_protocol(offered: str) -> None:
    """Otherwise nothing could be chosen but the token itself."""
    assert code(credential_of, None, offered, None, None, False) == "bad_subprotocol"


def test_tokens_in_addresses_are_refused_unless_allowed() -> None:
    """And the refusal says what to do instead."""
    assert code(credential_of, None, "", "cookie", "abc", False) == "token_in_url"


def test_a_credential_does_not_show_its_secret() -> None:
    """In a traceback or a log."""
    assert "abc" not in repr(Credential("abc", "bearer"))
    assert cookie_name(True).startswith("__Host-")
    assert not cookie_name(False).startswith("__")


# --- after the login ---


@pytest.mark.parametrize("path", ["/", "/beds/3A", "/microphone?bed=3A", "/beds/%E5%BA%8A"])
def test_own_paths_are_kept(path: str) -> None:
    """The page that was wanted."""
    assert safe_next(path) == path


@pytest.mark.parametrize(
    "path", ["", "//evil.example", "/\\evil.example", "https://evil.example", "\\\\x", "beds", "/a\nb", "/床"]
)
def test_other_sites_are_not(path: str) -> None:
    """No open redirect."""
    assert safe_next(path) == "/"


def test_other_peoples_ways_to_show_a_key_are_understood() -> None:
    """Deepgram's Token, a URL's user:password, and the subprotocol lists of OpenAI's and Deepgram's pages."""
    assert credential_of("Token abc", "", None, None, False) == Credential("abc", "bearer")
    basic = "Basic " + b64encode(b"any:abc").decode()
    assert credential_of(basic, "", None, None, False) == Credential("abc", "bearer")
    for offered in ("realtime, openai-insecure-api-key.abc", "token,abc", "bearer, abc"):
        assert credential_of(None, offered, None, None, False) == Credential("abc", "subprotocol")


@pytest.mark.parametrize("offered", ["token", "bearer", "realtime", "token.abc"])
def test_a_protocol_without_a_key_is_no_credential(offered: str) -> None:
    """Then the next way counts."""
    assert credential_of(None, offered, None, None, False) is None
