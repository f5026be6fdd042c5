"""A certificate authority for tests."""

import ssl
import subprocess
from pathlib import Path

from tests.processes import require


class Authority:
    """A private CA, made with openssl."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._openssl = require("openssl", "openssl")
        self.certificate = directory / "ca.pem"
        self._run("req", "-x509", *self._new_key("ca"), "-out", self.certificate, "-subj", "/CN=test CA")

    def issue(self, name: str, address: str = "127.0.0.1") -> tuple[Path, Path]:
        """A certificate for this address with its key."""
        request, certificate = self.directory / f"{name}.csr", self.directory / f"{name}.pem"
        self._run("req", *self._new_key(name), "-out", request, "-subj", f"/CN={name}")
        extensions = self.directory / "extensions"
        extensions.write_text(f"subjectAltName=IP:{address}")
        ca = ("-CA", self.certificate, "-CAkey", self.directory / "ca.key", "-CAcreateserial")
        self._run("x509", "-req", "-in", request, *ca, "-out", certificate, "-extfile", extensions)
        return certificate, self.directory / f"{name}.key"

    def context(self, client: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """What a client that trusts this CA alone uses."""
        context = ssl.create_default_context(cafile=self.certificate)
        if client is not None:
            context.load_cert_chain(*client)
        return context

    def _new_key(self, name: str) -> list[str | Path]:
        options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout"]
        return [*options, self.directory / f"{name}.key"]

    def _run(self, *args: str | Path) -> None:
        subprocess.run([self._openssl, *args], check=True, capture_output=True)
