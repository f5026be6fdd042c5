"""Commands that people type, word for word, from the documentation of the CNCF image and texts about it."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engine.client import Client
from tests.engine.engine import Engine
from tests.image.conftest import BridgedDaemon
from tests.image.container import answers, logs
from tests.processes import require, wait_until

USER, PASSWORD = "user", "pass"
RUN = """
docker run -d -p 5000:5000 --restart=always --name registry
    -v {volume}:/var/lib/registry -v {auth}:/auth
    -e REGISTRY_AUTH=htpasswd -e "REGISTRY_AUTH_HTPASSWD_REALM=Registry Realm"
    -e REGISTRY_AUTH_HTPASSWD_PATH=/auth/htpasswd {image}
"""


class Person:
    """A person at a shell of the engine's machine, in a directory of their own."""

    def __init__(self, docker: Engine, bridged: BridgedDaemon, home: Path) -> None:
        self.home = home
        words = " ".join(f"'{word}'" for word in docker.command)
        # So that `docker` is this engine's, without credentials.
        function = f'docker() {{ DOCKER_CONFIG="$PWD/docker" {words} "$@"; }}; '
        self._shell = Client(*bridged.inside.command, "sh", "-euc")
        self._prelude = f"cd '{home}'; {function}"

    def types(self, line: str, **names: object) -> str:
        """A line at the prompt, broken where the page is narrow; what it prints."""
        return self._shell.run(self._prelude + " ".join(line.format(**names).split()))

    def mistypes(self, line: str) -> str:
        """A line that has to fail; what it prints."""
        return self._shell.fails(self._prelude + line)

    def asks(self, path: str) -> object:
        """Return the body that curl gets."""
        return json.loads(self.types(f"curl -s -u {USER}:{PASSWORD} http://localhost:5000{path}"))


@contextmanager
def registry_of(person: Person, docker: Engine, bridged: BridgedDaemon, volume: Path, image: str) -> Iterator[None]:
    """A password file and a registry that asks for it."""
    require("htpasswd", "apache2-utils")
    require("curl", "curl")
    auth = person.home / "auth"
    auth.mkdir()
    person.types(f"cd auth; htpasswd -Bbn {USER} {PASSWORD} >> htpasswd")
    try:
        person.types(RUN, volume=volume, auth=auth, image=image)
        wait_until(lambda: answers(bridged), "the registry answers", 15)
        yield
    except AssertionError as error:
        raise AssertionError(f"{error}\n{logs(docker)}") from None
    finally:
        docker.run("rm", "--force", "--volumes", "registry")


def build(docker: Engine, directory: Path, size: int) -> str:
    """An image called `nginx` with a layer of so many random bytes; its id."""
    context = directory / "context"
    context.mkdir()
    with (context / "content").open("wb") as file:
        subprocess.run(["head", "-c", str(size), "/dev/urandom"], stdout=file, check=True)
    return docker.build("nginx", context)
