"""bcrypt hashes of passwords: parsed, checked and made by libpass, which is imported on demand."""

import os
import warnings
from typing import TYPE_CHECKING

from pyregistry.common.lazy import lazy

if TYPE_CHECKING:
    from passlib import hash as passlib_hash
else:
    passlib_hash = lazy("passlib.hash")

BCRYPT_PREFIXES = (b"$2a$", b"$2b$", b"$2y$")
HASH_BYTES = 60
COSTS = range(4, 15)
"""A login at a cost above 14 would take seconds of processor time."""
COUNTED_BYTES = 72
"""Bytes of a password that bcrypt uses. Apache's tool ignores the rest."""
_ALPHABET = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_OTHERS = {b"$apr1$": "MD5", b"$1$": "MD5", b"{SHA}": "SHA-1", b"$5$": "SHA-256", b"$6$": "SHA-512"}


class HashRefused(ValueError):
    """The hash is not accepted; the text says why and quotes no part of it."""


def prepare() -> None:
    """Import libpass before the fork. Blocks, for some hundredths of a second."""
    passlib_hash.bcrypt.set_backend()


def parse_hash(stored: bytes) -> bytes:
    """Return a hash without the unused bits that some programs set; raise HashRefused."""
    if not stored.startswith(BCRYPT_PREFIXES):
        raise HashRefused(f"{_format_of(stored)}, only bcrypt is accepted (htpasswd -B)")
    if not stored[4:6].isdigit() or int(stored[4:6]) not in COSTS:
        raise HashRefused("the bcrypt cost is not 4 to 14")
    if len(stored) != HASH_BYTES:
        raise HashRefused(f"a bcrypt hash has {HASH_BYTES} characters, this one {len(stored)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about those bits
        try:
            return bytes(passlib_hash.bcrypt.from_string(stored).to_string().encode())
        except ValueError as error:  # whose text may quote the hash
            raise HashRefused("it has characters that no bcrypt hash has") from error


def matches(password: bytes, stored: bytes) -> bool:
    """Return True if this is the password of a parsed hash. Blocks, for up to a second of processor time."""
    try:
        return bool(passlib_hash.bcrypt.verify(password[:COUNTED_BYTES], stored))
    except ValueError:  # a damaged hash, or a NUL in the password
        return False


def make_hash(password: bytes, cost: int) -> bytes:
    """Return a new hash, with the prefix that Apache's server knows. Blocks, like `matches`."""
    made = passlib_hash.bcrypt.using(rounds=cost, ident="2y").hash(password[:COUNTED_BYTES])
    return str(made).encode()


def dummy_hash(cost: int) -> bytes:
    """Return a random hash that no known password has, without running bcrypt."""
    text = bytearray(_ALPHABET[byte % 64] for byte in os.urandom(53))
    text[21] = _ALPHABET[text[21] % 4 * 16]  # 128 bits of salt
    text[52] = _ALPHABET[text[52] % 16 * 4]  # 184 bits of hash
    return b"$2b$%02d$" % cost + text


def _format_of(stored: bytes) -> str:
    for prefix, name in _OTHERS.items():
        if stored.startswith(prefix):
            return name
    return "crypt or plain text" if stored else "no password"
