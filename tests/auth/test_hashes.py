"""bcrypt hashes as libpass reads, checks and makes them."""

import subprocess
import sys
import warnings

import bcrypt
import pytest

from pyregistry.auth.hashes import COSTS, dummy_hash, make_hash, matches, parse_hash
from tests.processes import SOURCE_TREE

ALPHABET = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def with_unused_bits(stored: bytes) -> bytes:
    """The same hash with the bits of its salt that are not used."""
    bits = ALPHABET.index(stored[28]) | 1
    return stored[:28] + ALPHABET[bits : bits + 1] + stored[29:]


@pytest.mark.parametrize("cost", COSTS)
def test_a_dummy_is_a_hash_like_others(cost: int) -> None:
    for made in [dummy_hash(cost) for _ in range(50)]:
        assert parse_hash(made) == made


def test_no_password_is_that_of_a_dummy_and_none_is_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not matches(b"secret", dummy_hash(4))


@pytest.mark.parametrize("password", [b"secret", b"x" * 72, b"x" * 100, "\u00fc\u20ac".encode(), b"\xff\xfe", b" "])
@pytest.mark.parametrize("prefix", [b"$2a$", b"$2b$", b"$2y$"])
def test_a_hash_is_the_same_to_libpass_and_to_bcrypt(password: bytes, prefix: bytes) -> None:
    made = make_hash(password, 4)
    assert made.startswith(b"$2y$04$")
    assert bcrypt.checkpw(password[:72], made)
    stored = parse_hash(prefix + made[4:])
    assert matches(password, stored)
    assert not matches(password[:-1] + b"?", stored) or len(password) > 72
    assert not matches(b"", stored)


def test_a_password_with_a_nul_is_wrong() -> None:
    assert not matches(b"secret\0", make_hash(b"secret", 4))


def test_a_server_without_passwords_imports_nothing_that_hashes_them() -> None:
    code = "import sys, pyregistry.service.server; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=SOURCE_TREE, timeout=60)
    assert not {"bcrypt", "passlib", "re2"} & set(done.stdout.split())
