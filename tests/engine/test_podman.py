"""podman: push, pull, run and search."""

from pathlib import Path

import pytest

from tests.engine.containers import Buildah, Podman
from tests.engine.images import unique
from tests.engine.wire import Wire
from tests.processes import Server, require


@pytest.fixture
def image(registry: Server, buildah: Buildah, podman: Podman) -> tuple[str, str]:
    """The name and id of an image that podman has not pushed yet."""
    name = f"{registry.host}/{unique('podman')}:1"
    return name, buildah.build(name, Path(require("busybox", "busybox-static")))


@pytest.mark.client("podman", "push")
@pytest.mark.client("podman", "pull")
@pytest.mark.client("podman", "run")
def test_pushed_image_is_pulled_and_runs(podman: Podman, image: tuple[str, str]) -> None:
    name, identity = image
    podman.push(name)
    podman.run("rmi", name)
    assert podman.pull(name) == identity
    assert podman.execute(name, "/busybox", "echo", "from the registry") == "from the registry\n"


@pytest.mark.client("podman", "pull by digest")
def test_image_is_pulled_by_digest(registry: Server, wire: Wire, podman: Podman, image: tuple[str, str]) -> None:
    name, identity = image
    podman.push(name)
    podman.run("rmi", name)
    repository = name.removeprefix(f"{registry.host}/").removesuffix(":1")
    digest = wire.digest(repository, "1")
    assert podman.pull(f"{registry.host}/{repository}@{digest}") == identity


@pytest.mark.client("podman", "list repositories")
def test_search_finds_a_repository_by_a_part_of_its_name(
    registry: Server, podman: Podman, image: tuple[str, str]
) -> None:
    name, _ = image
    podman.push(name)
    repository = name.removesuffix(":1")
    part = repository.removeprefix(f"{registry.host}/")[2:-2]
    found = podman.run("search", "--tls-verify=false", "--format", "{{.Name}}", f"{registry.host}/{part}")
    assert found.split() == [repository]


@pytest.mark.client("podman", "list tags")
def test_search_lists_the_tags_of_a_repository(podman: Podman, image: tuple[str, str]) -> None:
    name, _ = image
    podman.push(name)
    repository = name.removesuffix(":1")
    found = podman.run("search", "--tls-verify=false", "--list-tags", repository)
    assert found.split() == ["NAME", "TAG", repository, "1"]


@pytest.mark.client("podman", "unknown name")
def test_pull_of_an_unknown_tag_says_so(podman: Podman, image: tuple[str, str]) -> None:
    name, _ = image
    podman.push(name)
    absent = name.removesuffix(":1") + ":absent"
    assert "manifest unknown" in podman.fails("pull", *podman.settings.remote, absent)
