"""The authorities of `http.tls.clientcas`: whom a server lets in, and bundles with something damaged in them."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Tls
from pyregistry.service.tls import Certificate
from tests.authority import Authority, certified
from tests.tls.shaking import shake

DAMAGED = "-----BEGIN CERTIFICATE-----\nMIIBdamaged\n-----END CERTIFICATE-----\n"


class _Chain:
    """A root, an intermediate authority below it, and a client's certificate from that."""

    def __init__(self, directory: Path) -> None:
        root_key, middle_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self.root = certified("root", root_key, "root", root_key, is_authority=True)
        self.middle = certified("middle", middle_key, "root", root_key, is_authority=True)
        self.leaf = certified("leaf", leaf_key, "middle", middle_key)
        self.with_chain = self._write(directory / "chain.pem", self.leaf + self.middle), directory / "leaf.key"
        self.alone = self._write(directory / "leaf.pem", self.leaf), directory / "leaf.key"
        self._write(directory / "leaf.key", leaf_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def _write(self, path: Path, content: bytes) -> Path:
        path.write_bytes(content)
        return path


@pytest.mark.parametrize(
    ("trusted", "shows_chain", "is_let_in"),
    [
        ("root", True, True),
        ("root", False, False),
        ("middle", False, True),
        ("middle", True, True),
        ("leaf", False, True),
    ],
)
def test_an_intermediate_or_a_pinned_certificate_is_trusted_alone(
    trusted: str, shows_chain: bool, is_let_in: bool, pair: tuple[Path, Path], authority: Authority, tmp_path: Path
) -> None:
    chain = _Chain(tmp_path)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(getattr(chain, trusted))
    tls = Tls(certificate=str(pair[0]), key=str(pair[1]), client_cas=[str(bundle)])
    client = chain.with_chain if shows_chain else chain.alone
    if is_let_in:
        shake(tls, authority, client)
        with pytest.raises(ssl.SSLError):
            shake(tls, authority)  # its client is of another authority
    else:
        with pytest.raises(ssl.SSLError):
            shake(tls, authority, client)


def test_a_pinned_certificate_lets_in_no_other(pair: tuple[Path, Path], authority: Authority, tmp_path: Path) -> None:
    """Neither one of the same authority, nor one that the pinned one has signed."""
    middle_key, leaf_key, other_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    leaf = certified("leaf", leaf_key, "middle", middle_key)
    sibling, child = (
        certified("other", other_key, "middle", middle_key),
        certified("other", other_key, "leaf", leaf_key),
    )
    bundle, key, shown = (tmp_path / name for name in ("bundle.pem", "other.key", "other.pem"))
    bundle.write_bytes(leaf)
    key.write_bytes(other_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    tls = Tls(certificate=str(pair[0]), key=str(pair[1]), client_cas=[str(bundle)])
    for chain in (sibling, child, child + leaf):
        shown.write_bytes(chain)
        with pytest.raises(ssl.SSLError):
            shake(tls, authority, (shown, key))


BUNDLES: dict[str, tuple[str, str]] = {
    "damaged before": (DAMAGED + "{good}", "position='certificate 1, line 1'"),
    "damaged behind": ("{good}" + DAMAGED, "position='certificate 2, line "),
    "damaged between": ("{good}\n" + DAMAGED + "{other}", "position='certificate 2, line "),
    "without its end": ("-----BEGIN CERTIFICATE-----\nMIIB\n{good}", "position='certificate 1, line 1'"),
    "no base64": (
        "-----BEGIN CERTIFICATE-----\n\u00e4\u00f6\n-----END CERTIFICATE-----\n{good}",
        "position='certificate 1",
    ),
    "comments and a mark": ("\ufeff# our authority, \u00e4\n{good}", ""),
    "a key among them": ("{key}{good}", ""),
}


@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_damaged_certificate_of_a_bundle_is_named_and_the_others_count(
    bundle: str, pair: tuple[Path, Path], authority: Authority, tmp_path: Path, logged: Callable[[], str]
) -> None:
    text, said = BUNDLES[bundle]
    good, other = authority.certificate.read_text(), _Chain(tmp_path).root.decode()
    path = tmp_path / "bundle.pem"
    path.write_text(text.format(good=good, other=other, key=pair[1].read_text()), encoding="utf-8")
    shake(Tls(certificate=str(pair[0]), key=str(pair[1]), client_cas=[str(path)]), authority)
    output = logged()
    assert ("is damaged and skipped" in output) == bool(said), output
    assert said in output
    assert not said or str(path) in output


@pytest.mark.parametrize("content", [DAMAGED, "-----BEGIN CERTIFICATE-----\n", "nothing\n", ""])
def test_a_bundle_of_nothing_that_can_be_used_is_refused(content: str, pair: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "bundle.pem"
    path.write_text(content)
    with pytest.raises(ConfigError, match=rf"http\.tls\.clientcas: {path}"):
        Certificate(Tls(certificate=str(pair[0]), key=str(pair[1]), client_cas=[str(path)]))
