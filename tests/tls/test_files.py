"""The files of `http.tls`: each mistake is named with its file, at the start, in check-config and while it serves."""

import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Tls
from pyregistry.service.tls import Certificate
from tests.authority import Authority, self_signed
from tests.processes import forked_server, require_root, wait_until
from tests.test_tls import TlsServer, serving
from tests.tls.shaking import shake

DAMAGED = "-----BEGIN CERTIFICATE-----\nMIIBdamaged\n-----END CERTIFICATE-----\n"
_BOM = b"\xef\xbb\xbf"


def _encrypt(certificate: Path, key: Path) -> None:
    loaded = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))


def _encrypt_as_openssl_once_did(certificate: Path, key: Path) -> None:
    loaded = load_pem_private_key(key.read_bytes(), None)
    old = PrivateFormat.TraditionalOpenSSL
    key.write_bytes(loaded.private_bytes(Encoding.PEM, old, BestAvailableEncryption(b"secret")))


def _as_der(certificate: Path, key: Path) -> None:
    certificate.write_bytes(ssl.PEM_cert_to_DER_cert(certificate.read_text()))


def _key_as_der(certificate: Path, key: Path) -> None:
    loaded = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(loaded.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def _other_key(certificate: Path, key: Path) -> None:
    made = ec.generate_private_key(ec.SECP256R1())
    key.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _swap(certificate: Path, key: Path) -> None:
    first, second = certificate.read_bytes(), key.read_bytes()
    certificate.write_bytes(second)
    key.write_bytes(first)


def _as_directory(certificate: Path, key: Path) -> None:
    certificate.unlink()
    certificate.mkdir()


def _as_pipe(certificate: Path, key: Path) -> None:
    key.unlink()
    os.mkfifo(key)


def _with_damaged_chain(certificate: Path, key: Path) -> None:
    certificate.write_text(certificate.read_text() + DAMAGED)


MISTAKES: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "an encrypted key": (_encrypt, r"http\.tls\.key: \S+/server\.key is encrypted.*openssl pkey -in"),
    "a key encrypted in the old form": (_encrypt_as_openssl_once_did, r"http\.tls\.key: \S+ is encrypted"),
    "another key": (_other_key, r"http\.tls\.key: \S+/server\.key is not the key of the first certificate in \S+\.pem"),
    "files swapped": (_swap, r"http\.tls\.certificate: \S+/server\.pem has no certificate in PEM"),
    "an empty certificate": (lambda c, _: c.write_bytes(b""), r"http\.tls\.certificate: \S+/server\.pem is empty"),
    "an empty key": (lambda _, k: k.write_bytes(b"\n"), r"http\.tls\.key: \S+/server\.key is empty"),
    "a directory": (_as_directory, r"http\.tls\.certificate: \S+/server\.pem: is a directory"),
    "a pipe": (_as_pipe, r"http\.tls\.key: \S+/server\.key: is not a regular file"),
    "DER": (_as_der, r"http\.tls\.certificate: \S+ is not PEM but DER.*openssl x509 -inform der"),
    "a key in DER": (_key_as_der, r"http\.tls\.key: \S+ is not PEM but DER.*openssl pkey -inform der"),
    "a byte order mark": (
        lambda c, _: c.write_bytes(_BOM + c.read_bytes()),
        r"http\.tls\.certificate: \S+ begins with a byte order mark",
    ),
    "UTF-16": (
        lambda _, k: k.write_text(k.read_text(), encoding="utf-16"),
        r"http\.tls\.key: \S+ begins with a byte order mark",
    ),
    "a damaged chain": (_with_damaged_chain, r"http\.tls\.certificate: \S+: certificate 2, line \d+: "),
    "text": (lambda c, _: c.write_text("see the wiki\n"), r"http\.tls\.certificate: \S+ has no certificate in PEM"),
    "no certificate file": (lambda c, _: c.unlink(), r"http\.tls\.certificate: \S+: No such file or directory"),
    "no key file": (lambda _, k: k.unlink(), r"http\.tls\.key: \S+: No such file or directory"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_servers_files_is_named(mistake: str, pair: tuple[Path, Path]) -> None:
    change, words = MISTAKES[mistake]
    change(*pair)
    with pytest.raises(ConfigError, match=words):
        Certificate(Tls(certificate=str(pair[0]), key=str(pair[1])))


def test_a_certificate_without_a_key_is_named(pair: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match=r"http\.tls\.key: missing"):
        Certificate(Tls(certificate=str(pair[0])))


@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_an_encrypted_key_ends_it_with_a_sentence_and_asks_no_terminal(
    command: str, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    _encrypt(*pair)
    made = forked_server(tmp_path, http={"tls": {"certificate": str(pair[0]), "key": str(pair[1])}})
    words = [sys.executable, "-m", "pyregistry", command, str(made.config)]
    ours, theirs = os.openpty()  # a terminal, which is what OpenSSL would ask
    try:
        done = subprocess.run(
            words, stdin=theirs, capture_output=True, text=True, env=made.env, timeout=30, check=False
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    assert f"{made.config}: http.tls.key: {pair[1]} is encrypted" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_encrypted_key_that_comes_while_it_serves_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with serving(tmp_path, {"certificate": str(pair[0]), "key": str(pair[1])}) as server:
        plain = pair[1].read_bytes()
        _encrypt(*pair)
        wait_until(lambda: "is encrypted" in server.output(), "the key is refused")
        assert server.get(ssl.create_default_context(cafile=tmp_path / "ca/ca.pem")) == (200, "server")
        pair[1].write_bytes(plain)
        wait_until(lambda: "certificate reloaded" in server.output(), "the key is taken")


@pytest.fixture
def unreadable(pair: tuple[Path, Path]) -> Iterator[tuple[Path, Path]]:
    """A key that belongs to root and only root may read, for a process that is not root."""
    require_root()
    for directory in (pair[1], *pair[1].parents):
        directory.chmod(directory.stat().st_mode | 0o055) if directory.owner() == "root" else None
    pair[1].chmod(0o600)
    os.seteuid(65534)
    yield pair
    os.seteuid(0)


def test_a_key_without_permission_is_named_with_its_owner(unreadable: tuple[Path, Path]) -> None:
    whose = r"this is user 65534:\d+; the file belongs to 0:0, mode 600"
    with pytest.raises(ConfigError, match=rf"http\.tls\.key: \S+/server\.key: Permission denied \({whose}\)"):
        Certificate(Tls(certificate=str(unreadable[0]), key=str(unreadable[1])))


def test_ends_of_lines_as_in_windows_are_taken(pair: tuple[Path, Path], authority: Authority) -> None:
    for file in (*pair, authority.certificate):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    shake(Tls(certificate=str(pair[0]), key=str(pair[1]), client_cas=[str(authority.certificate)]), authority)


def test_one_file_may_hold_the_key_and_the_certificate(pair: tuple[Path, Path], authority: Authority) -> None:
    pair[0].write_bytes(pair[1].read_bytes() + pair[0].read_bytes())
    shake(Tls(certificate=str(pair[0]), key=str(pair[0])), authority)


@pytest.mark.parametrize(
    ("days", "said"),
    [((-9, -2), "has expired, and is refused: renew it"), ((2, 9), "is not valid yet: check the clock"), ((-1, 9), "")],
)
@pytest.mark.parametrize("key", ["certificate", "clientcas"])
def test_a_certificate_out_of_its_time_is_a_warning(
    days: tuple[int, int], said: str, key: str, pair: tuple[Path, Path], tmp_path: Path, logged: Callable[[], str]
) -> None:
    path, own = self_signed(tmp_path, days=days)
    if key == "certificate":
        Certificate(Tls(certificate=str(path), key=str(own)))
    else:
        Certificate(Tls(certificate=str(pair[0]), key=str(pair[1]), client_cas=[str(path)]))
    output = logged()
    assert said in output
    assert bool(said) == (f"http.tls.{key}" in output)
    assert bool(said) == (str(path) in output)


def test_files_that_vanish_are_logged_once_and_once_more_when_they_are_back(
    pair: tuple[Path, Path], logged: Callable[[], str]
) -> None:
    certificate = Certificate(Tls(certificate=str(pair[0]), key=str(pair[1])))
    away = pair[0].rename(pair[0].with_suffix(".away"))
    for _ in range(5):
        certificate.reload_if_changed()
    key = pair[1].rename(pair[1].with_suffix(".gone"))
    certificate.reload_if_changed()
    output = logged()
    assert output.count("the last valid one stays active") == 1
    assert f"http.tls.certificate: {pair[0]}: No such file or directory" in output
    away.rename(pair[0])
    certificate.reload_if_changed()
    assert f"http.tls.key: {pair[1]}: No such file or directory" in logged()
    key.rename(pair[1])
    for _ in range(3):
        certificate.reload_if_changed()
    assert logged().count("are there again") == 1


def test_files_that_vanish_are_logged_by_one_worker_alone(pair: tuple[Path, Path], logged: Callable[[], str]) -> None:
    certificate = Certificate(Tls(certificate=str(pair[0]), key=str(pair[1])))
    away = pair[0].rename(pair[0].with_suffix(".away"))
    if (other := os.fork()) == 0:
        certificate.reload_if_changed()
        os._exit(logged().count("the last valid one stays active"))
    assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == 1
    certificate.reload_if_changed()
    assert logged() == ""
    away.rename(pair[0])
    certificate.reload_if_changed()
    assert logged().count("are there again") == 1


def test_plain_http_to_the_tls_port_is_answered_in_words_and_logged_once(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    made = forked_server(
        tmp_path, http={"tls": {"certificate": str(pair[0]), "key": str(pair[1])}}, pyregistry={"workers": 1}
    )
    with TlsServer(made.command, made.directory, made.port, made.config) as server:
        for method in ("GET", "POST", "HEAD", "PUT"):
            words = ["curl", "-sS", "-i", "--http1.1", "-X", method, f"http://127.0.0.1:{server.port}/v2/"]
            if method == "HEAD":
                words[4:6] = ["-I"]
            done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True)
            assert done.stdout.startswith("HTTP/1.0 400 Bad Request")
            if method != "HEAD":
                assert "Client sent an HTTP request to an HTTPS server" in done.stdout
        wait_until(lambda: "speaks plain HTTP to this port" in server.output(), "it is logged")
        assert server.output().count("speaks plain HTTP to this port") == 1
        assert "client=127.0.0.1" in server.output()
        assert not server.faults()
