"""A certificate authority for tests."""

import datetime
import ssl
import subprocess
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.processes import require


class Authority:
    """A private CA, made with openssl."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._openssl = require("openssl", "openssl")
        self.certificate = directory / "ca.pem"
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")  # Python 3.13 refuses an authority without it
        self._run("req", "-x509", *self._new_key("ca"), "-out", self.certificate, "-subj", "/CN=test CA", *usage)

    def issue(self, name: str, address: str = "127.0.0.1") -> tuple[Path, Path]:
        """A certificate for this address with its key."""
        request, certificate = self.directory / f"{name}.csr", self.directory / f"{name}.pem"
        self._run("req", *self._new_key(name), "-out", request, "-subj", f"/CN={name}")
        extensions = self.directory / "extensions"
        extensions.write_text(f"subjectAltName=IP:{address}\nauthorityKeyIdentifier=keyid\n")
        ca = ("-CA", self.certificate, "-CAkey", self.directory / "ca.key", "-CAcreateserial")
        self._run("x509", "-req", "-in", request, *ca, "-out", certificate, "-extfile", extensions)
        return certificate, self.directory / f"{name}.key"

    def context(self, client: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """The context of a client that trusts this CA alone."""
        context = ssl.create_default_context(cafile=self.certificate)
        if client is not None:
            context.load_cert_chain(*client)
        return context

    def _new_key(self, name: str) -> list[str | Path]:
        options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout"]
        return [*options, self.directory / f"{name}.key"]

    def _run(self, *args: str | Path) -> None:
        subprocess.run([self._openssl, *args], check=True, capture_output=True)


def certified(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    *,
    is_authority: bool = False,
    days: tuple[int, int] = (-1, 30),
    address: str = "",
) -> bytes:
    """A certificate that `signer` makes for `key`; it is valid between two days from now."""
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days[0]))
        .not_valid_after(now + datetime.timedelta(days[1]))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if address:
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
        made = made.add_extension(names, critical=False)
    return made.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)


def self_signed(directory: Path, days: tuple[int, int] = (-1, 30), address: str = "") -> tuple[Path, Path]:
    """A certificate that signs itself, with its key, in two files."""
    made, certificate, key = ec.generate_private_key(ec.SECP256R1()), directory / "own.pem", directory / "own.key"
    certificate.write_bytes(certified("own", made, "own", made, days=days, address=address))
    key.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, key
