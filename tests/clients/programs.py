"""The clients that `make clients` brings: each with a home and settings of its own, and nothing of the internet."""

import os
import shutil
from pathlib import Path

from tests.engine.client import Client
from tests.processes import missing

USER, PASSWORD = "alice", "wonderland"
CLOSED = "http://127.0.0.1:9"  # a proxy that is not there; Go asks no proxy for 127.0.0.1


def built(name: str) -> str:
    """The path of a client that `make clients` builds."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} (make clients, needs Go) is not installed")
    return found


def node_package(name: str) -> Path:
    """The directory of a package that `make clients` takes from npm; next to crane and the others."""
    places = (Path(place) / "npm/node_modules" / name for place in os.environ["PATH"].split(os.pathsep))
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        missing(f"{name} (make clients, needs npm) is not installed")
    return found


def own_settings(home: Path) -> dict[str, str]:
    """The environment of a client that finds its settings and credentials below `home` and nowhere else."""
    places = {name: str(home / name.lower()) for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    files = {"DOCKER_CONFIG": str(home / ".docker"), "REGCTL_CONFIG": str(home / "regctl.json")}
    runtime = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    return {**runtime, **places, **files, "HTTPS_PROXY": CLOSED, "https_proxy": CLOSED}


def go_client(name: str, home: Path, *options: str) -> Client:
    """The client, with `home` as its working directory: oras and cosign write and read files there."""
    return Client("env", f"--chdir={home}", built(name), *options, env=own_settings(home))


class Regctl(Client):
    """regctl, whose configuration says that these registries speak plain HTTP."""

    def __init__(self, home: Path, *hosts: str) -> None:
        client = go_client("regctl", home)
        super().__init__(*client.command, env=client.env)
        for host in hosts:
            self.run("registry", "set", "--tls", "disabled", "--skip-check", host)


class Cosign(Client):
    """cosign with a key pair of its own; it asks no transparency log and trusts no root but that key."""

    SIGN = ("--key", "cosign.key", "--tlog-upload=false", "--yes")
    VERIFY = ("--key", "cosign.pub", "--insecure-ignore-tlog=true")
    BUNDLE = ("--new-bundle-format", "--trusted-root", "root.json")

    def __init__(self, home: Path) -> None:
        client = go_client("cosign", home)
        super().__init__(
            *client.command, env={**client.env, "COSIGN_PASSWORD": "of the key", "COSIGN_EXPERIMENTAL": "1"}
        )
        (home / "root.json").write_text('{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')
        self.new_key()

    def new_key(self) -> None:
        """Sign and verify with another key from now on."""
        for name in ("cosign.key", "cosign.pub"):
            (Path(self.env["HOME"]) / name).unlink(missing_ok=True)
        self.run("generate-key-pair")


def payload(path: Path, size: int = 1_500_000) -> bytes:
    """Write a file of random bytes; what is in it."""
    content = os.urandom(size)
    path.write_bytes(content)
    return content


def blobs_of(layout: Path) -> dict[str, bytes]:
    """Everything in an OCI layout by digest."""
    return {f"sha256:{path.name}": path.read_bytes() for path in (layout / "blobs/sha256").iterdir()}
