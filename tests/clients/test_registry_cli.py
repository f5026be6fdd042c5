"""registry-cli lists and deletes what a registry holds; these are its requests, with its one media type of Docker.

No package brings the program itself, so a script of ours represents it, deckschrubber and ten years of
`curl … | jq .config.digest`: all ask for Docker's schema 2 and take apart what comes.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.engine.images import DOCKER_MANIFEST, Image, digest_of, docker_images, unique
from tests.engine.wire import Wire
from tests.processes import Server


class RegistryCli:
    """The requests behind its options, over one session."""

    def __init__(self, url: str, session: requests.Session) -> None:
        self.url = url
        self.session = session

    def send(self, method: str, path: str, accept: str = DOCKER_MANIFEST) -> requests.Response:
        """Each of its requests bears the same Accept, but those for a config."""
        answer = self.session.request(method, f"{self.url}/v2/{path}", headers={"Accept": accept}, timeout=30)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def images(self) -> Iterator[str]:
        """`registry.py -r URL`: pages of ten names, until one is empty."""
        last = ""
        while names := self.send("GET", f"_catalog?n=10&last={last}").json()["repositories"]:
            yield from names
            last = names[-1]

    def digest(self, name: str, tag: str) -> str:
        """Return the digest that a tag names, from a HEAD."""
        return self.send("HEAD", f"{name}/manifests/{tag}").headers["Docker-Content-Digest"]

    def layers(self, name: str, tag: str) -> list[str]:
        """`--layers`."""
        return [layer["digest"] for layer in self.send("GET", f"{name}/manifests/{tag}").json()["layers"]]

    def config(self, name: str, tag: str) -> Any:
        """`--delete-by-hours`, which looks at the config for the age."""
        described = self.send("GET", f"{name}/manifests/{tag}").json()["config"]
        return self.send("GET", f"{name}/blobs/{described['digest']}", described["mediaType"]).json()

    def delete(self, name: str, tag: str) -> None:
        """`--delete`."""
        self.send("DELETE", f"{name}/manifests/{self.digest(name, tag)}")


@pytest.fixture
def cli(either: Server) -> Iterator[RegistryCli]:
    """The client of a registry; the other takes the same test."""
    with requests.Session() as session:
        yield RegistryCli(either.url, session)


@pytest.fixture
def pushed(either: Server) -> tuple[str, Image]:
    """A repository with the tag `1` of a list, and the image in it for linux on amd64."""
    name, images = unique("registry-cli/list"), docker_images("arm64", "amd64")
    with Wire(either) as wire:
        wire.push_list(name, "1", *images)
    return name, images[1]


@pytest.mark.client("registry-cli", "inspect")
@pytest.mark.client("registry-cli", "pull an index")
def test_list_is_taken_apart_as_the_image_for_linux_on_amd64(cli: RegistryCli, pushed: tuple[str, Image]) -> None:
    name, image = pushed
    assert cli.layers(name, "1") == [digest_of(content) for content in image.layers]
    assert cli.config(name, "1")["architecture"] == "amd64"
    assert cli.digest(name, "1") == digest_of(image.manifest)


@pytest.mark.client("registry-cli", "list repositories")
def test_pages_of_ten_names_end_with_an_empty_one(cli: RegistryCli, either: Server, pushed: tuple[str, Image]) -> None:
    names = {unique("registry-cli/many") for _ in range(11)}
    with Wire(either) as wire:
        for name in names:
            wire.push_list(name, "1", *docker_images("amd64"))
    found = list(cli.images())
    assert len(found) == len(set(found))
    assert {*names, pushed[0]} <= set(found)


@pytest.mark.client("registry-cli", "delete")
def test_image_is_deleted_by_the_digest_of_its_tag(cli: RegistryCli, either: Server) -> None:
    name, [image] = unique("registry-cli/delete"), docker_images("amd64")
    with Wire(either) as wire:
        for content in image.blobs:
            wire.push_blob(name, content)
        wire.push_manifest(name, "1", image.manifest, DOCKER_MANIFEST)
        cli.delete(name, "1")
        assert wire.manifest(name, "1").status == 404
