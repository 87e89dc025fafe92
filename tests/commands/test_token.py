"""`care-voice token`: the keys of a gateway on the command line."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.commands.token import token
from gateway.connection.access import Principal
from gateway.connection.credentials import check_key
from gateway.connection.keys import ApiKeys


def run(directory: Path, *arguments: str) -> Result:
    return CliRunner().invoke(token, list(arguments), env={"CARE_VOICE_DATA_DIR": str(directory)})


def whose(directory: Path, secret: str) -> Principal:
    return check_key(secret, ApiKeys(directory).items, time.time())


def test_a_key_is_all_that_is_printed(tmp_path: Path) -> None:
    """So that a script can keep it; everything else goes to the terminal."""
    result = run(tmp_path, "create", "--role", "speaker", "--bed", "3A", "--name", "bed 3A tablet")
    assert result.exit_code == 0, result.output
    principal = whose(tmp_path, result.stdout.strip())
    assert (principal.role, principal.beds, principal.name) == ("speaker", ("3A",), "bed 3A tablet")
    assert principal.expires_at is None
    assert "not shown again" in result.stderr
    assert "first key" in result.stderr
    assert result.stdout.strip() not in result.stderr
    again = run(tmp_path, "create", "--role", "admin")
    assert "first key" not in again.stderr
    assert whose(tmp_path, again.stdout.strip()).beds == ("*",)


def test_several_beds_and_an_end(tmp_path: Path) -> None:
    """Patterns too."""
    result = run(
        tmp_path, "create", "--role", "viewer", "--bed", "3*", "--bed", "ICU-1", "--expires", "90d", "--json"
    )
    made = json.loads(result.stdout)
    assert made["beds"] == ["3*", "ICU-1"]
    assert made["expires_at"] == pytest.approx(time.time() + 90 * 86_400, abs=60)
    assert whose(tmp_path, made["key"]).id == made["id"]
    assert "hash" not in made


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--role", "viewer"], "--bed"),
        (["--role", "admin", "--bed", "3A"], "leave out --bed"),
        (["--role", "nurse"], "admin"),
        (["--role", "viewer", "--bed", "3/A"], "without /"),
        (["--role", "viewer", "--bed", "3A", "--expires", "soon"], "90d"),
        (["--role", "admin", "--name", "a\nb"], "printable"),
        (["--role", "admin", "--name", "a" * 81], "80"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(tmp_path: Path, arguments: list[str], says: str) -> None:
    """Exit 2, and what to write instead."""
    result = run(tmp_path, "create", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not (tmp_path / "keys.json").exists()


def test_the_list_shows_everything_but_secrets(tmp_path: Path) -> None:
    """For people as a table, for programs as JSON."""
    assert "No keys" in run(tmp_path, "list").stderr
    secret = run(tmp_path, "create", "--role", "viewer", "--bed", "*", "--name", "夜班 [red]x").stdout.strip()
    key_id = secret.split("_")[1]
    shown = run(tmp_path, "list").stdout
    assert all(word in shown for word in (key_id, "viewer", "all", "夜班 [red]x", "never"))
    [plain] = json.loads(run(tmp_path, "list", "--json").stdout)
    assert plain["id"] == key_id
    for text in (shown, json.dumps(plain)):
        assert secret.split("_")[2] not in text
        assert ApiKeys(tmp_path).items[0].hash not in text


def test_a_key_is_revoked_by_its_id_or_whole(tmp_path: Path) -> None:
    """Whatever somebody has at hand; an unknown one is an error."""
    first, second = (run(tmp_path, "create", "--role", "admin").stdout.strip() for _ in range(2))
    assert run(tmp_path, "revoke", first.split("_")[1]).exit_code == 0
    assert run(tmp_path, "revoke", second).exit_code == 0
    assert "revoked" in run(tmp_path, "list").stdout
    assert all(record.revoked_at for record in ApiKeys(tmp_path).items)
    unknown = run(tmp_path, "revoke", "nobody")
    assert unknown.exit_code == 1
    assert "token list" in unknown.stderr
    assert run(tmp_path, "purge-expired").stdout == "2 keys forgotten.\n"
    assert json.loads(run(tmp_path, "purge-expired", "--json").stdout) == []
    assert ApiKeys(tmp_path).items == []


def test_a_damaged_file_is_said_in_one_line(tmp_path: Path) -> None:
    """Exit 1, no traceback."""
    (tmp_path / "keys.json").write_text("{")
    for arguments in (["list"], ["create", "--role", "admin"], ["revoke", "x"]):
        result = run(tmp_path, *arguments)
        assert result.exit_code == 1
        assert "damaged" in result.stderr
        assert "Traceback" not in result.output
