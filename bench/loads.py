"""Load generators. The status of each response is checked by the program or here: an error gives no result."""

import base64
import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.servers import install
from tests.clients.install import PACKAGES
from tests.engine.images import OCI_MANIFEST, Image, digest_of
from tests.processes import Server, require

_SOURCE = Path(__file__).parent / "blobs"
USER, PASSWORD = "bench", "a password"


class LoadError(Exception):
    """The load got an error, so its figure is invalid."""


@dataclass(frozen=True)
class Programs:
    """Paths of the programs that are not Debian's."""

    blobs: Path
    crane: Path

    @classmethod
    def build(cls, directory: Path) -> "Programs":
        """Build the programs, once."""
        directory.mkdir(parents=True, exist_ok=True)
        blobs = directory.resolve() / "blobs"
        subprocess.run(["go", "build", "-o", str(blobs), "."], cwd=_SOURCE, check=True)
        return cls(blobs, install(PACKAGES["crane"], directory))

    def run(self, *words: object) -> dict[str, Any]:
        """Return the result of our own program; see blobs/main.go."""
        result = subprocess.run(
            [str(self.blobs), *map(str, words)], capture_output=True, text=True, timeout=600, check=False
        )
        if result.returncode:
            raise LoadError(result.stderr.strip())
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer


@dataclass(frozen=True)
class Gets:
    """The result of wrk."""

    count: int
    per_second: float


def gets(
    url: str, connections: int, *, threads: int = 2, seconds: float = 3, headers: Mapping[str, str] | None = None
) -> Gets:
    """Send GETs with wrk; raise LoadError if a response was not 2xx, or a connection broke."""
    script = Path(__file__).with_name("status.lua")
    words = [require("wrk", "wrk"), f"-t{threads}", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s"]
    for name, value in (headers or {}).items():
        words += ["-H", f"{name}: {value}"]
    output = subprocess.run([*words, "-s", str(script), url], capture_output=True, text=True, check=False).stdout
    errors = re.search(r"^errors (\d+)$", output, re.MULTILINE)
    rate = re.search(r"(\d+) requests in [\s\S]*Requests/sec:\s+([\d.]+)", output)
    if errors is None or rate is None or errors[1] != "0" or int(rate[1]) == 0:
        raise LoadError(f"wrk {url}: {output}")
    return Gets(int(rate[1]), float(rate[2]))


def authorization() -> dict[str, str]:
    """Return the header of a client with the bench's password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}


def ask(
    server: Server, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, str]]:
    """Send a request to prepare a measurement; return the status and headers."""
    url = path if path.startswith("http") else server.url + path
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            answer.read()
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


def put_image(server: Server, name: str, tag: str, image: Image, headers: Mapping[str, str] | None = None) -> None:
    """Push an image; raise LoadError."""
    for blob in image.blobs:
        status, answered = ask(server, "POST", f"/v2/{name}/blobs/uploads/", b"", headers)
        location = answered["Location"]
        target = f"{location}{'&' if '?' in location else '?'}digest={digest_of(blob)}"
        octets = {**(headers or {}), "Content-Type": "application/octet-stream"}
        if (status := ask(server, "PUT", target, blob, octets)[0]) != 201:
            raise LoadError(f"PUT of a blob: {status}")
    typed = {**(headers or {}), "Content-Type": OCI_MANIFEST}
    if (status := ask(server, "PUT", f"/v2/{name}/manifests/{tag}", image.manifest, typed)[0]) != 201:
        raise LoadError(f"PUT of a manifest: {status}")
