"""The container that people run, and what they do with it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engine.engine import Engine
from tests.image.conftest import BridgedDaemon
from tests.processes import require, wait_until

REGISTRY = "127.0.0.1:5000"


@contextmanager
def running(docker: Engine, daemon: BridgedDaemon, *args: str) -> Iterator[None]:
    """`docker run -d -p 5000:5000 --name registry ARGS`, until it answers; then removed."""
    docker.run("run", "-d", "-p", "5000:5000", "--name", "registry", *args)
    try:
        wait_until(lambda: answers(daemon), "the registry answers", 15)
        yield
    except AssertionError as error:
        raise AssertionError(f"{error}\n{logs(docker)}") from None
    finally:
        docker.run("rm", "--force", "registry")


def logs(docker: Engine) -> str:
    """Return all output of the container, on both streams."""
    words = [*docker.command, "logs", "registry"]
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def get(daemon: BridgedDaemon, path: str, *, check: bool = True) -> str:
    """Return the page that a browser on the engine's machine would show."""
    return daemon.inside.run(require("curl", "curl"), "--silent", "--fail", f"http://{REGISTRY}{path}", check=check)


def push_something(docker: Engine, directory: Path, repository: str) -> str:
    """Build a small image and push it; its id."""
    context = directory / "context"
    context.mkdir()
    (context / "file").write_bytes(os.urandom(1000))
    name = f"{REGISTRY}/{repository}"
    image_id = docker.build(name, context)
    docker.run("push", name)
    docker.forget(name)
    return image_id


def answers(daemon: BridgedDaemon) -> bool:
    """Return True if there is a registry, with or without a login."""
    silent = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]
    return daemon.inside.run(require("curl", "curl"), *silent, f"http://{REGISTRY}/v2/", check=False) in ("200", "401")
