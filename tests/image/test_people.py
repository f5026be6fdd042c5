"""The engine, driven with the lines that people use with the CNCF image."""

from pathlib import Path

from tests.engine.engine import Engine
from tests.image.conftest import BridgedDaemon
from tests.image.people import Person, build, registry_of


def test_login_tag_push_and_pull_as_with_the_cncf_image(
    docker: Engine, bridged: BridgedDaemon, image: str, volume: Path, tmp_path: Path
) -> None:
    person = Person(docker, bridged, tmp_path)
    before = build(docker, tmp_path, 1_000_000)
    with registry_of(person, docker, bridged, volume, image):
        person.types("docker tag nginx localhost:5000/nginx")
        assert "no basic auth credentials" in person.mistypes("docker push localhost:5000/nginx")
        assert "401" in person.mistypes("docker login -u user -p wrong localhost:5000")
        assert "Login Succeeded" in person.types("docker login -u user -p pass localhost:5000")
        person.types("docker push localhost:5000/nginx")
        assert person.asks("/v2/_catalog") == {"repositories": ["nginx"]}
        assert person.asks("/v2/nginx/tags/list") == {"name": "nginx", "tags": ["latest"]}
        person.types("docker rmi nginx localhost:5000/nginx")
        person.types("docker pull localhost:5000/nginx")
        assert docker.image_id("localhost:5000/nginx") == before
        person.types("docker restart registry")
        assert person.types("docker exec registry ls /var/lib/registry/docker/registry/v2/repositories") == "nginx\n"
    docker.forget("localhost:5000/nginx")
