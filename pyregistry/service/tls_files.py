"""Reads, parses and checks the files of `http.tls`. Errors name the file and the position in it.

OpenSSL would ask the terminal for a key's pass phrase. It rejects a whole bundle for one damaged certificate.
"""

import codecs
import os
import ssl
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import structlog

from pyregistry.common.files import read_all
from pyregistry.common.lazy import lazy
from pyregistry.common.opener import open_file, readable_path
from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Tls

if TYPE_CHECKING:
    from cryptography import x509
else:
    x509 = lazy("cryptography.x509")

log = structlog.get_logger("pyregistry.tls")

_BEGIN, _END = "-----BEGIN ", "-----END "
_CERTIFICATES = frozenset({"CERTIFICATE", "X509 CERTIFICATE"})
_ENCRYPTED = ("-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DER = 0x30
"""First byte of a certificate, key or PKCS#12 file that is not PEM."""


class _Block(NamedTuple):
    """A certificate in a file."""

    number: int
    """1 for the first certificate of the file."""
    line: int
    text: str

    @property
    def position(self) -> str:
        return f"certificate {self.number}, line {self.line}"


def files_of(tls: Tls) -> list[tuple[str, str]]:
    """Return the key of the config and the path of each file: the certificate, its key, and `clientcas`."""
    authorities = [("clientcas", path) for path in tls.client_cas]
    return [("certificate", tls.certificate), ("key", tls.key), *authorities]


def read_files(tls: Tls) -> list[bytes]:
    """Return the contents of `files_of`; raise ConfigError. Blocks."""
    return [_read(key, path) for key, path in files_of(tls)]


def load_pair(context: ssl.SSLContext, tls: Tls, certificate: bytes, key: bytes) -> None:
    """Load the server's certificate with its chain and key; warn of dates. Raises ConfigError. Blocks."""
    blocks = _certificates("certificate", tls.certificate, certificate)
    _check_key(tls, _text("key", tls.key, key))
    for block in blocks:
        reason = _damage(block)
        if reason is not None:
            raise ConfigError(f"http.tls.certificate: {tls.certificate}: {block.position}: {reason}")
    try:
        with readable_path(tls.certificate) as chain, readable_path(tls.key) as private:
            context.load_cert_chain(chain, private, password=lambda: b"")  # so it never asks a terminal
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(_pair_error(tls, error)) from error
    for block in blocks:
        _warn_of_dates("http.tls.certificate", tls.certificate, block)


def _check_key(tls: Tls, key: str) -> None:
    if any(sign in key for sign in _ENCRYPTED):
        raise ConfigError(
            f"http.tls.key: {tls.key} is encrypted, and a server cannot ask for its pass phrase; store it decrypted: "
            f"openssl pkey -in {tls.key} -out NEW.key"
        )
    if "PRIVATE KEY-----" not in key:
        raise ConfigError(f"http.tls.key: {tls.key} has no private key in PEM")


def load_authorities(context: ssl.SSLContext, path: str, content: bytes) -> None:
    """Trust the certificates of a bundle, read from `path`; skip damaged ones with a warning.

    As in the CNCF registry, a certificate need not be self-signed: it may be an intermediate authority or one client's
    certificate. Raises ConfigError if all are unusable. Blocks.
    """
    loaded, blocks = 0, _certificates("clientcas", path, content)
    for block in blocks:
        try:
            context.load_verify_locations(cadata=block.text)
        except (ssl.SSLError, ValueError, TypeError) as error:  # TypeError: it is not ASCII
            event = "a certificate in http.tls.clientcas is damaged and skipped: replace it or remove it"
            log.warning(event, file=path, position=block.position, reason=_words(error))
            continue
        loaded += 1
        _warn_of_dates("http.tls.clientcas", path, block)
    if not loaded:
        raise ConfigError(f"http.tls.clientcas: {path}: none of its {len(blocks)} certificates can be used")


def _read(key: str, path: str) -> bytes:
    name = f"http.tls.{key}"
    if not path:
        raise ConfigError(f"{name}: missing, expected the path of a PEM file")
    try:
        return _read_file(path)
    except OSError as error:
        raise ConfigError(f"{name}: {path}: {error.strerror}{_rights(path, error)}") from error


def _text(key: str, path: str, data: bytes) -> str:
    """Return the text of a PEM file; raise ConfigError."""
    name = f"http.tls.{key}"
    if not data.strip():
        raise ConfigError(f"{name}: {path} is empty")
    if data[0] == _DER and b"-----BEGIN" not in data:
        kind = "pkey" if key == "key" else "x509"
        raise ConfigError(
            f"{name}: {path} is not PEM but DER or PKCS#12; convert DER with: "
            f"openssl {kind} -inform der -in {path} -out NEW.pem"
        )
    if data.startswith(_UTF16) or (data.startswith(codecs.BOM_UTF8) and key != "clientcas"):
        raise ConfigError(f"{name}: {path} begins with a byte order mark; store it as plain text (ASCII) without one")
    return data.decode(errors="replace").removeprefix("\ufeff")


def _read_file(path: str) -> bytes:
    handle = open_file(path)  # does not block on a FIFO, which is rejected
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(0, f"is {'a directory' if stat.S_ISDIR(mode) else 'not a regular file'}, expected a PEM file")
        return read_all(handle, None)
    finally:
        os.close(handle)


def _rights(path: str, error: OSError) -> str:
    """Return our user and the mode of a file without read permission; empty for other errors."""
    if not isinstance(error, PermissionError):
        return ""
    try:
        found = Path(path).stat()
    except OSError:
        return f" (this is user {os.geteuid()})"
    owner = f"{found.st_uid}:{found.st_gid}, mode {found.st_mode & 0o7777:o}"
    return f" (this is user {os.geteuid()}:{os.getegid()}; the file belongs to {owner})"


def _certificates(key: str, path: str, content: bytes) -> list[_Block]:
    """Return the certificates of a file; raise ConfigError if it has none."""
    blocks = list(_blocks(_text(key, path, content)))
    if not blocks:
        raise ConfigError(f"http.tls.{key}: {path} has no certificate in PEM (-----BEGIN CERTIFICATE-----)")
    return blocks


def _blocks(text: str) -> Iterator[_Block]:
    number, begun, lines = 0, 0, list[str]()
    for at, line in enumerate((*text.splitlines(), _BEGIN), 1):
        words = line.strip()
        if begun and words.startswith(_BEGIN):  # the previous block has no end
            yield _Block(number, begun, "\n".join(lines))
            begun = 0
        if words.startswith(_BEGIN) and words.removeprefix(_BEGIN).removesuffix("-----") in _CERTIFICATES:
            number, begun, lines = number + 1, at, []
        if begun:
            lines.append(words)
            if words.startswith(_END):
                yield _Block(number, begun, "\n".join(lines))
                begun = 0


def _damage(block: _Block) -> str | None:
    """Return the reason why OpenSSL cannot read a certificate, or None."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=block.text)
    except (ssl.SSLError, ValueError, TypeError) as error:  # TypeError: it is not ASCII
        return _words(error)
    return None


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).lower().replace("_", " ") if reason else "cannot be read"


def _pair_error(tls: Tls, error: OSError) -> str:
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return (
            f"http.tls.key: {tls.key} is not the key of the first certificate in {tls.certificate}: the server's own "
            "certificate has to be the first in that file"
        )
    return f"http.tls.certificate and key: {tls.certificate}, {tls.key}: {_words(error)}"


def _warn_of_dates(key: str, path: str, block: _Block) -> None:
    try:
        certificate = x509.load_pem_x509_certificate(block.text.encode())
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except ValueError:  # OpenSSL accepted it, and checks the dates in a handshake
        return
    now = datetime.now(UTC)
    if now > end:
        event = f"a certificate in {key} has expired, and is refused: renew it"
        log.warning(event, file=path, position=block.position, expired=end.isoformat())
    elif now < begin:
        event = f"a certificate in {key} is not valid yet: check the clock of this machine"
        log.warning(event, file=path, position=block.position, valid_from=begin.isoformat())
