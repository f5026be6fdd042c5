"""The possible content of an htpasswd file."""

import asyncio
import subprocess
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyregistry.auth.hashes import parse_hash
from pyregistry.auth.htpasswd import HtpasswdAuthenticator, HtpasswdInvalid, PasswordFile, parse_htpasswd
from pyregistry.oci.errors import Unauthorized
from tests.auth.credentials import basic, hash_of
from tests.processes import require

_ALICE = f"alice:{hash_of('secret')}\n"


@pytest.mark.parametrize("prefix", [b"2a", b"2b", b"2y"])
async def test_every_prefix_of_bcrypt_is_accepted(tmp_path: Path, prefix: bytes) -> None:
    path = tmp_path / "htpasswd"
    path.write_text(f"alice:{hash_of('secret', prefix=prefix)}\n")
    assert await _login(path, "alice", "secret")
    assert not await _login(path, "alice", "wrong")


@pytest.mark.parametrize(
    ("content", "users"),
    [
        pytest.param(_ALICE, ["alice"], id="one user"),
        pytest.param(_ALICE.rstrip(), ["alice"], id="no newline at the end"),
        pytest.param(_ALICE.replace("\n", "\r\n"), ["alice"], id="the line ends of Windows"),
        pytest.param(f"# team\n\n{_ALICE}\n  \n", ["alice"], id="comments and empty lines"),
        pytest.param(_ALICE + _ALICE.replace("alice", "bob"), ["alice", "bob"], id="two users"),
        pytest.param(_ALICE.replace("alice", "ci-bot@team.example"), ["ci-bot@team.example"], id="signs in a name"),
        pytest.param(_ALICE.replace("alice", "zoë"), ["zoë"], id="a name in UTF-8"),
        pytest.param(_ALICE.replace("alice", "two words"), ["two words"], id="a space in a name"),
        pytest.param(f" \t{_ALICE}", ["alice"], id="space before a name"),
    ],
)
def test_these_files_are_read(content: str, users: list[str]) -> None:
    assert sorted(parse_htpasswd(content.encode())) == users


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param("$apr1$YSqgyMRd$sgVRFVXFvPpFkKDyGpbQy1", id="MD5 of Apache"),
        pytest.param("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", id="SHA-1"),
        pytest.param("$5$rounds=5000$salt$hash", id="SHA-256"),
        pytest.param("$6$salt$hash", id="SHA-512"),
        pytest.param("rl.3StKT.4T8M", id="crypt"),
        pytest.param("secret", id="plain text"),
        pytest.param("", id="nothing"),
        pytest.param(hash_of("x").replace("$04$", "$15$"), id="cost 15"),
        pytest.param(hash_of("x").replace("$04$", "$31$"), id="cost 31"),
        pytest.param(hash_of("x").replace("$04$", "$03$"), id="cost 3"),
        pytest.param("$2b$xx$" + "a" * 53, id="no cost"),
        pytest.param("$2x$04$" + "a" * 53, id="another prefix"),
    ],
)
def test_an_entry_of_another_format_is_left_out_with_a_warning_that_names_the_user(
    stored: str, caplog: pytest.LogCaptureFixture
) -> None:
    users = parse_htpasswd(f"mallory:{stored}\n{_ALICE}".encode())
    assert list(users) == ["alice"]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "mallory" in record.getMessage()
    assert len(stored) < 8 or stored not in record.getMessage()


_BOB = _ALICE.replace("alice", "bob").encode()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"secret-no-colon", "it is not USER:HASH"),
        (b"secret-no-colon" + b"#" * 1_025, "it is not USER:HASH"),
        (b":secret", "its user is empty"),
        (b"secret" * 50 + b":x", "too long"),
        (b"secret\xff:x", "not UTF-8"),
        (b"secret\0:x", "has a tab or a NUL"),
        (b"secret\tb:x", "has a tab or a NUL"),
        (b"\xff\xfe\x00s\x00e\x00c\x00r\x00e\x00t\x00", "it is not USER:HASH"),
    ],
)
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_line_that_is_no_entry_is_left_out_with_a_warning_that_does_not_quote_it(
    line: bytes, reason: str, ending: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The CNCF registry refuses every user then."""
    users = parse_htpasswd(_ALICE.encode() + line + ending + _BOB)
    assert list(users) == ["alice", "bob"]
    (record,) = caplog.records
    assert reason in record.getMessage()
    assert '"line": 2' in record.getMessage()
    assert "secret" not in record.getMessage()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="an empty file"),
        pytest.param(b"# later\n\n", id="only comments"),
        pytest.param(b"mallory:secret\n", id="no bcrypt at all"),
        pytest.param(b"no colon in this line\n", id="no colon"),
        pytest.param("alice:x\n".encode("utf-16"), id="UTF-16"),
        pytest.param(b"a:realm:0123456789abcdef0123456789abcdef\n", id="an htdigest file"),
    ],
)
async def test_a_file_without_a_usable_user_lets_in_no_one(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "htpasswd"
    path.write_bytes(content)
    for user, password in [("alice", "x"), ("mallory", "secret"), ("a", "realm"), ("", "")]:
        assert not await _login(path, user, password)
    assert "htpasswd file has no user with a bcrypt password" in caplog.text


def test_a_file_of_more_than_a_mebibyte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "htpasswd"
    path.write_bytes(_ALICE.encode() + b"# comment\n" * 110_000)
    with pytest.raises(HtpasswdInvalid, match="more than 1048576 bytes"):
        PasswordFile(path)


def test_a_file_of_another_kind_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    assert parse_htpasswd(b"no entry\n" * 100_000) == {}
    assert len(caplog.records) == 21
    assert '"lines": 99980' in caplog.records[-1].getMessage()


_OLD, _NEW = hash_of("old"), hash_of("new")


@pytest.mark.parametrize(
    ("content", "stored"),
    [
        pytest.param(f"alice:{_OLD}\nalice:{_NEW}\n", _NEW, id="two good ones"),
        pytest.param(f"alice:{_OLD}\nbob:{_OLD}\n alice:{_NEW}:changed\n", _NEW, id="with others between"),
        pytest.param(f"alice:{_OLD}\nalice:{_NEW}\nalice:{_OLD}\n", _OLD, id="three"),
        pytest.param(f"alice:plain\nalice:{_NEW}\n", _NEW, id="a good one last"),
        pytest.param(f"alice:{_OLD}\nalice:plain\n", None, id="another format last"),
        pytest.param(f"alice:{_OLD}\nalice:\n", None, id="no password last"),
        pytest.param(f"alice:{_OLD}\nalice:!{_OLD}\n", None, id="locked as in /etc/shadow"),
        pytest.param(f"alice:{_OLD}\nalice:{_NEW[:-1]}\n", None, id="a torn one last"),
        pytest.param(f"alice:{_OLD}\nalice:{_NEW}:{'x' * 1024}\n", None, id="one that is too long last"),
        pytest.param(f"alice:{_OLD}\n#alice:{_NEW}\n", _OLD, id="a comment last"),
        pytest.param(f"alice:{_OLD}\nalice\n", _OLD, id="no entry last"),
    ],
)
def test_the_last_line_of_a_user_counts_also_if_its_hash_is_unusable(
    content: str, stored: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """As the CNCF registry has it: a password that was replaced or taken away lets in no one."""
    found = parse_htpasswd(content.encode()).get("alice")
    assert found == (None if stored is None else stored.encode())
    assert hash_of("x")[:7] not in caplog.text


@pytest.mark.parametrize("comment", ["", "of the team", "a:b:c", "1900000000", "$2b$04$"])
async def test_what_follows_a_second_colon_is_a_comment(tmp_path: Path, comment: str) -> None:
    """Apache and nginx have it so; the CNCF registry takes it as well."""
    path = tmp_path / "htpasswd"
    path.write_text(f"alice:{hash_of('secret')}:{comment}\n")
    assert await _login(path, "alice", "secret")
    assert not await _login(path, "alice", comment or "x")


@given(st.lists(st.binary(max_size=90), max_size=8))
def test_whatever_bytes_a_file_has_it_is_read_and_its_good_lines_count(lines: list[bytes]) -> None:
    strangers = [line for line in lines if not line.strip().startswith(b"zoe:")]
    content = b"\n".join([*strangers, f"zoe:{_NEW}".encode(), *(b"x" + line for line in strangers)])
    users = parse_htpasswd(content)
    assert users["zoe"] == _NEW.encode()
    assert all(parse_hash(stored) == stored for stored in users.values())


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ("$apr1$YSqgyMRd$sgVRFVXFvPpFkKDyGpbQy1", "MD5"),
        ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "SHA-1"),
        ("$5$salt$hash", "SHA-256"),
        ("$6$salt$hash", "SHA-512"),
        ("rl.3StKT.4T8M", "crypt or plain text"),
        ("", "no password"),
        pytest.param(hash_of("x").replace("$04$", "$15$"), "the bcrypt cost is not 4 to 14", id="too slow"),
        pytest.param(hash_of("x")[:-1], "this one 59", id="too short"),
    ],
)
def test_the_warning_says_why(stored: str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    parse_htpasswd(f"mallory:{stored}\n{_ALICE}".encode())
    assert reason in caplog.text


@pytest.mark.parametrize(("mode", "refused"), [(0o600, False), (0o640, False), (0o644, False), (0o646, True)])
def test_others_may_read_the_file_without_a_warning_and_may_not_write_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, refused: bool
) -> None:
    path = tmp_path / "htpasswd"
    path.write_text(_ALICE)
    path.chmod(mode)
    if refused:
        with pytest.raises(HtpasswdInvalid, match="everybody on this machine may write to it"):
            PasswordFile(path)
    else:
        assert list(PasswordFile(path).users().hashes) == ["alice"]
    assert caplog.text == ""


@pytest.mark.parametrize("damage", [b"$2b$04$", b"$2b$04$short", b"$2b$04$" + b"!" * 53, b"$2b$04$" + b"a" * 500])
async def test_a_damaged_hash_lets_nobody_in(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "htpasswd"
    path.write_bytes(b"mallory:" + damage + b"\n" + _ALICE.encode())
    for password in ["secret", "", "x"]:
        assert not await _login(path, "mallory", password)
    assert await _login(path, "alice", "secret")


@pytest.mark.parametrize("cost", [[], ["-C", "4"], ["-C", "10"]], ids=["default cost", "cost 4", "cost 10"])
async def test_a_file_made_by_the_htpasswd_tool_is_accepted(tmp_path: Path, cost: list[str]) -> None:
    tool = require("htpasswd", "apache2-utils")
    path = tmp_path / "htpasswd"
    long = "p" * 100
    for number, (user, password) in enumerate([("alice", "s3cret:with:colons"), ("bob", "pässwörd"), ("carol", long)]):
        command = [tool, "-Bb", *(["-c"] if number == 0 else []), *cost, str(path), user, password]
        subprocess.run(command, check=True, capture_output=True)
    assert await _login(path, "alice", "s3cret:with:colons")
    assert await _login(path, "bob", "pässwörd")
    assert await _login(path, "carol", long)
    for user, password in [("alice", "s3cret"), ("bob", "passwörd"), ("carol", "p" * 71)]:
        assert not await _login(path, user, password)


async def test_bytes_of_a_password_behind_the_72nd_do_not_count_as_apache_has_it(tmp_path: Path) -> None:
    path = tmp_path / "htpasswd"
    path.write_text(f"alice:{hash_of('x' * 72)}\n")
    for length, right in [(71, False), (72, True), (73, True), (1_000, True)]:
        assert await _login(path, "alice", "x" * length) == right


async def _login(path: Path, user: str, password: str) -> bool:
    authenticator = await asyncio.to_thread(HtpasswdAuthenticator, path, "Test")
    try:
        await authenticator.authenticate([basic(user, password)["Authorization"]], "192.0.2.1")
    except Unauthorized:
        return False
    finally:
        authenticator.close()
    return True


def test_unused_bits_of_a_hash_do_not_keep_its_user_out() -> None:
    stored = bcrypt.hashpw(b"secret", bcrypt.gensalt(4))
    alphabet = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    last_of_salt = alphabet[alphabet.index(stored[28]) | 1 : (alphabet.index(stored[28]) | 1) + 1]
    [read] = parse_htpasswd(b"alice:" + stored[:28] + last_of_salt + stored[29:] + b"\n").values()
    assert bcrypt.checkpw(b"secret", read)


def test_what_has_the_length_of_a_hash_and_other_characters_lets_nobody_in() -> None:
    assert parse_htpasswd(b"alice:$2y$05$" + b"!" * 53 + b"\n") == {}
