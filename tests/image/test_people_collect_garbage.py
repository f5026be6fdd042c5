"""The usual ways to free the space of an image: by hand, and with the collector in the running container."""

from pathlib import Path

from tests.engine.engine import Engine
from tests.image.conftest import BridgedDaemon
from tests.image.people import Person, build, registry_of

MB = 1_000_000
DISK_USE = "docker exec registry du -s -B1000000 /var/lib/registry"
REMOVE = "docker exec registry /bin/sh -c 'rm -fr /var/lib/registry/docker/registry/v2/repositories/nginx'"
COLLECT = "docker exec registry registry garbage-collect /etc/docker/registry/config.yml"


def test_repository_removed_by_hand_is_collected_and_can_be_pushed_again_without_a_restart(
    docker: Engine, bridged: BridgedDaemon, image: str, volume: Path, tmp_path: Path
) -> None:
    person = Person(docker, bridged, tmp_path)
    before = build(docker, tmp_path, 20 * MB)

    def used() -> int:
        assert "/var/lib/registry" in person.types("docker exec registry du -sh /var/lib/registry")
        return int(person.types(DISK_USE).split()[0])

    with registry_of(person, docker, bridged, volume, image):
        person.types("docker login -u user -p pass localhost:5000")
        person.types("docker tag nginx localhost:5000/nginx")
        person.types("docker push localhost:5000/nginx")
        assert used() >= 20
        person.types(REMOVE)
        assert person.asks("/v2/_catalog") == {"repositories": []}
        assert "blob eligible for deletion" in person.types(COLLECT + " --dry-run")
        assert used() >= 20
        person.types(COLLECT)
        assert used() < 5
        assert person.asks("/v2/_catalog") == {"repositories": []}
        person.types("docker push localhost:5000/nginx")
        person.types("docker rmi nginx localhost:5000/nginx")
        person.types("docker pull localhost:5000/nginx")
        assert docker.image_id("localhost:5000/nginx") == before
        assert person.asks("/v2/_catalog") == {"repositories": ["nginx"]}
        person.types(COLLECT + " -m")
        assert used() >= 20
    docker.forget("localhost:5000/nginx")
