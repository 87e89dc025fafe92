"""Rules of API keys and the tokens made from them."""

import base64
import json
from dataclasses import replace

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.connection.access import ROLES, AccessError, Principal
from gateway.connection.credentials import (
    CLOCK_SKEW_S,
    ID_BYTES,
    LOGIN_PREFIX,
    MAX_TOKEN_S,
    SECRET_BYTES,
    SIGNING_DAYS,
    KeyRecord,
    SigningKey,
    check_key,
    check_secret,
    check_token,
    is_over,
    is_stale,
    make_key,
    make_token,
    read_token,
    rotate,
)

NOW = 1_800_000_000.0
NOISE = bytes(range(ID_BYTES + SECRET_BYTES))
DAY_S = 86_400
NURSE = Principal("", "viewer", ("3*",), "night nurse")
SIGNER = SigningKey("s1", b"0" * 32, NOW)
RECORD, SECRET = make_key(NURSE, NOISE, NOW)
HOLDER = check_key(SECRET, [RECORD], NOW)
TOKEN, TOKEN_OVER = make_token(HOLDER, 3600, SIGNER, "t1", NOW)


def code(call, *arguments) -> str:
    with pytest.raises(AccessError) as refused:
        call(*arguments)
    assert refused.value.status == 401
    return refused.value.code


def forged(claims: dict, algorithm: str = "HS256", secret: bytes = SIGNER.secret, **header: object) -> str:
    good = jwt.decode(TOKEN, options={"verify_signature": False})
    said = {name: value for name, value in (good | claims).items() if value is not None}
    return jwt.encode(said, secret, algorithm, {"kid": "s1"} | header)


# --- API keys ---


@given(st.binary(min_size=ID_BYTES + SECRET_BYTES, max_size=ID_BYTES + SECRET_BYTES), st.sampled_from(ROLES))
def test_a_key_opens_what_it_was_made_for(noise: bytes, role) -> None:
    """And is easy to copy: letters, digits and two underscores."""
    record, secret = make_key(Principal("", role, ("3A",), "x", NOW + 10), noise, NOW)
    assert check_key(secret, [RECORD, record], NOW) == Principal(record.id, role, ("3A",), "x", NOW + 10)
    assert secret.replace("_", "").isalnum()
    assert secret.startswith(f"cv_{record.id}_")


def test_the_secret_is_not_kept() -> None:
    """Only its hash, which opens nothing."""
    secret = SECRET.rsplit("_", 1)[1]
    assert secret not in repr(RECORD)
    assert len(secret) * 5 >= 256
    assert code(check_key, f"cv_{RECORD.id}_{RECORD.hash}", [RECORD], NOW) == "unknown_key"


@pytest.mark.parametrize(
    "presented",
    [
        "",
        "cv_",
        "cv__",
        SECRET[:-1],
        SECRET + "a",
        SECRET.upper(),
        SECRET.replace("cv_", ""),
        f"cv_{RECORD.id}_",
        "cv_\udcff_x",
    ],
)
def test_a_wrong_key_opens_nothing(presented: str) -> None:
    """Cut short, changed, empty or not text at all."""
    if presented == SECRET.replace("cv_", ""):
        assert code(check_secret, presented, [SIGNER], [RECORD], NOW) == "bad_token"
    else:
        assert code(check_key, presented, [RECORD], NOW) == "unknown_key"


def test_a_key_ends_when_it_expires_or_is_revoked() -> None:
    """To the second; revoked wins."""
    short = structs.replace(RECORD, expires_at=NOW + 10)
    assert check_key(SECRET, [short], NOW + 9)
    assert code(check_key, SECRET, [short], NOW + 10) == "expired_key"
    assert code(check_key, SECRET, [structs.replace(short, revoked_at=NOW)], NOW) == "revoked_key"
    assert [is_over(short, NOW + t) for t in (9, 10)] == [False, True]
    assert code(check_key, SECRET, [], NOW) == "unknown_key"


# --- tokens ---


def test_a_token_says_what_its_key_may() -> None:
    """Who, role, beds, until when."""
    assert check_token(TOKEN, [SIGNER], [RECORD], NOW) == replace(HOLDER, expires_at=NOW + 3600)
    claims = jwt.decode(TOKEN, options={"verify_signature": False})
    assert set(claims) == {"sub", "role", "beds", "iat", "exp", "jti"}
    assert jwt.get_unverified_header(TOKEN) == {"alg": "HS256", "typ": "JWT", "kid": "s1"}
    assert check_secret(TOKEN, [SIGNER], [RECORD], NOW) == check_token(TOKEN, [SIGNER], [RECORD], NOW)
    assert check_secret(SECRET, [SIGNER], [RECORD], NOW) == HOLDER


@given(st.floats(1, 10 * MAX_TOKEN_S), st.none() | st.floats(1, 10 * MAX_TOKEN_S))
def test_a_token_never_outlives_twelve_hours_or_its_key(ttl_s: float, key_left_s: float | None) -> None:
    """Whatever is asked for."""
    holder = replace(HOLDER, expires_at=None if key_left_s is None else NOW + key_left_s)
    token, expires_at = make_token(holder, ttl_s, SIGNER, "t", NOW)
    assert expires_at <= NOW + min(ttl_s, MAX_TOKEN_S, key_left_s or MAX_TOKEN_S)
    assert code(read_token, token, [SIGNER], NOW + MAX_TOKEN_S) == "expired_token"


def test_a_token_expires() -> None:
    """To the second."""
    assert read_token(TOKEN, [SIGNER], TOKEN_OVER - 1)
    assert code(read_token, TOKEN, [SIGNER], TOKEN_OVER) == "expired_token"


def test_only_a_login_can_be_renewed() -> None:
    """Its token's id says so; the key itself needs no renewing."""
    login, _ = make_token(HOLDER, 60, SIGNER, f"{LOGIN_PREFIX}x", NOW)
    assert check_token(login, [SIGNER], [RECORD], NOW).renewable
    assert not check_token(TOKEN, [SIGNER], [RECORD], NOW).renewable
    assert not HOLDER.renewable


def test_a_token_dies_with_its_key() -> None:
    """Revoked, expired, or forgotten."""
    for records in ([structs.replace(RECORD, revoked_at=NOW)], []):
        assert code(check_token, TOKEN, [SIGNER], records, NOW) == "revoked_key"
    assert code(check_token, TOKEN, [SIGNER], [structs.replace(RECORD, expires_at=NOW)], NOW) == "expired_key"


def unsigned() -> str:
    def part(value: dict) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = jwt.decode(TOKEN, options={"verify_signature": False})
    return f"{part({'alg': 'none', 'typ': 'JWT', 'kid': 's1'})}.{part(claims)}."


@pytest.mark.parametrize(
    "token",
    [
        unsigned(),
        unsigned() + TOKEN.rsplit(".", 1)[1],
        forged({}, "HS512", b"0" * 64),
        forged({}, "HS384", b"0" * 48),
        forged({}, secret=b"1" * 32),
        TOKEN[:-4] + "AAAA",
        TOKEN.rsplit(".", 1)[0],
        forged({"beds": ["*"]}).rsplit(".", 1)[0] + "." + TOKEN.rsplit(".", 1)[1],
        *(forged({name: None}) for name in ("sub", "role", "beds", "iat", "exp", "jti")),
        forged({"role": "god"}),
        forged({"beds": "3A"}),
        forged({"beds": [3]}),
        forged({"sub": 7}),
        forged({"exp": "tomorrow"}),
        forged({"iat": "yesterday"}),
        forged({"aud": "somebody else"}),
        "a.b.c",
        "....",
        "",
        "\udcff.x.y",
        "床",
    ],
)
def test_a_token_that_we_did_not_sign_like_this_is_refused(token: str) -> None:
    """No algorithm, another one, another secret, changed claims, missing ones, wrong types, no token at all."""
    assert code(check_secret, token, [SIGNER], [RECORD], NOW) in {"bad_token", "unknown_signer"}


@pytest.mark.parametrize("key_id", ["s2", "", "../s1", "S1"])
def test_a_token_of_an_unknown_signer_is_refused(key_id: str) -> None:
    """kid only chooses among our own keys."""
    assert code(read_token, forged({}, kid=key_id), [SIGNER], NOW) == "unknown_signer"
    assert code(read_token, TOKEN, [], NOW) == "unknown_signer"


@pytest.mark.parametrize(
    "times",
    [
        {"iat": int(NOW) + CLOCK_SKEW_S + 1, "exp": int(NOW) + 3600},
        {"iat": int(NOW), "exp": int(NOW) + MAX_TOKEN_S + CLOCK_SKEW_S + 1},
        {"exp": int(NOW) - 1},
        {"exp": 10**18},
    ],
)
def test_times_must_make_sense(times: dict[str, int]) -> None:
    """From the future, or longer than any token: even with a good signature."""
    assert code(read_token, forged(times), [SIGNER], NOW) == "expired_token"


@given(st.text(max_size=80) | st.from_regex(r"[\w-]{1,20}\.[\w-]{1,40}\.[\w-]{0,40}"))
def test_any_text_is_refused_by_name(text: str) -> None:
    """Never an exception of another kind."""
    assert code(check_secret, text, [SIGNER], [RECORD], NOW)


# --- signing keys ---


@given(st.lists(st.floats(0, 60 * DAY_S), min_size=1, max_size=8))
def test_a_token_is_read_until_it_expires_however_often_keys_change(pauses: list[float]) -> None:
    """Old signing keys stay as long as they are needed, and no longer."""
    now, keys, token, over = NOW, [SIGNER], TOKEN, NOW + 3600
    for number, pause in enumerate(pauses):
        now += pause
        keys = rotate(keys, SigningKey(f"k{number}", bytes([number]) * 32, now))
        assert keys[-1].id == f"k{number}"
        assert all(now - later.created_at <= MAX_TOKEN_S + CLOCK_SKEW_S for later in keys[1:])
        if now < over:
            assert read_token(token, keys, now)
        token, over = make_token(HOLDER, MAX_TOKEN_S, keys[-1], "t", now)


def test_signing_keys_are_renewed_in_time() -> None:
    """After a month, when there is none, and when the clock was wrong."""
    assert is_stale([], NOW)
    assert not is_stale([SIGNER], NOW + (SIGNING_DAYS - 1) * DAY_S)
    assert is_stale([SIGNER], NOW + SIGNING_DAYS * DAY_S)
    assert not is_stale([SIGNER], NOW - 10)
    assert is_stale([SIGNER], NOW - DAY_S)
    assert "0000" not in repr(SIGNER)


def test_a_record_knows_only_its_own_fields() -> None:
    """A file of another version is not half understood."""
    assert {f.name for f in structs.fields(KeyRecord)} == {
        "id", "hash", "role", "beds", "name", "created_at", "expires_at", "revoked_at",
    }  # fmt: skip
