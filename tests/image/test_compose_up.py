"""The samples for compose as they are used: each line of their first comment typed, then a push and a pull."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engine.engine import Engine
from tests.image.conftest import ADDRESS, BridgedDaemon
from tests.image.people import Person, build
from tests.processes import SOURCE_TREE, require, wait_until

SAMPLES = SOURCE_TREE / "config/compose"
HOST = "registry.example.org"
USER, PASSWORD = "alice", "wonderland"


@contextmanager
def composed(
    docker: Engine, bridged: BridgedDaemon, image: str, directory: Path, name: str, url: str
) -> Iterator[Person]:
    """A person who typed what the sample says; at the end all of it is removed again."""
    home = directory / "config/compose"
    shutil.copytree(SAMPLES, home)
    docker.run("tag", image, "pyregistry")  # in the place of the build, which would pull its base
    person = Person(docker, bridged, home)
    compose = f"DOCKER_HOST={bridged.socket} {require('docker-compose', 'docker-compose')}"
    lines = re.findall(r"^#   (.*)$", (home / name).read_text(), re.MULTILINE)
    try:
        for line in lines:
            if line.endswith(" build"):
                continue
            typed = line.replace("USER PASSWORD", f"{USER} {PASSWORD}").replace(f"DNS:{HOST}", f"IP:{ADDRESS}")
            person.types(typed.replace(HOST, ADDRESS).replace("docker compose", compose))
        status = f"curl -sk -o /dev/null -w '%{{{{http_code}}}}' {url}/v2/ || true"
        wait_until(lambda: person.types(status) in ("200", "401"), "the registry answers", 30)
        yield person
    finally:
        person.types(f"{compose} -f {name} down --volumes")
        docker.forget("pyregistry")


def test_plain_sample_takes_a_push_and_gives_it_back(
    docker: Engine, bridged: BridgedDaemon, image: str, tmp_path: Path
) -> None:
    before = build(docker, tmp_path, 1_000_000)
    with composed(docker, bridged, image, tmp_path, "compose.yml", "http://127.0.0.1:5000") as person:
        person.types("docker tag nginx 127.0.0.1:5000/nginx")
        person.types("docker push 127.0.0.1:5000/nginx")
        person.types("docker rmi nginx 127.0.0.1:5000/nginx")
        person.types("docker pull 127.0.0.1:5000/nginx")
        assert docker.image_id("127.0.0.1:5000/nginx") == before
    docker.forget("127.0.0.1:5000/nginx")


def test_sample_with_a_password_and_tls_lets_in_who_knows_both(
    docker: Engine, bridged: BridgedDaemon, image: str, tmp_path: Path
) -> None:
    before, name = build(docker, tmp_path, 1_000_000), f"{ADDRESS}/nginx"
    with composed(docker, bridged, image, tmp_path, "compose.htpasswd.yml", f"https://{ADDRESS}") as person:
        person.types(f"docker tag nginx {name}")
        assert "certificate signed by unknown authority" in person.mistypes(f"docker push {name}")
        trusted = bridged.settings / "certs.d" / ADDRESS
        trusted.mkdir(parents=True, exist_ok=True)
        shutil.copy(person.home / "certs/registry.pem", trusted / "ca.crt")
        try:
            assert "no basic auth credentials" in person.mistypes(f"docker push {name}")
            person.types(f"docker login -u {USER} -p {PASSWORD} {ADDRESS}")
            person.types(f"docker push {name}")
            person.types(f"docker rmi nginx {name}")
            person.types(f"docker pull {name}")
            assert docker.image_id(name) == before
        finally:
            shutil.rmtree(trusted)
    docker.forget(name)
