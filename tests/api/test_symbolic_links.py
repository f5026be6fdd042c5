"""Files that are symbolic links, as a tiering tool leaves them, are served as the CNCF registry serves them."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import Image, digest_of, image
from tests.conftest import PREPARED
from tests.modes import fast_path_only
from tests.push import Client, pull_image, push_blob, push_image, put_manifest
from tests.raw import ask, connected, request_head

LARGE = bytes(range(256)) * 1024
IMAGE, OTHER = image(LARGE), image(b"other")
LAYER = digest_of(LARGE)


def files(root: Path) -> list[Path]:
    tree = root / "docker/registry/v2"
    return [*tree.rglob("data"), *tree.rglob("link")]


def outside(path: Path, tmp_path: Path) -> Path:
    """A directory outside of the data directory."""
    return tmp_path / "outside" / "-".join(path.parts[-6:])


def below(path: Path, tmp_path: Path) -> Path:
    """In the data directory, where no registry has anything."""
    return tmp_path / "data" / "cold" / "-".join(path.parts[-6:])


def lead_to(path: Path, place: Path, *, relative: bool = False) -> None:
    """Move a file, and leave a symbolic link in its place."""
    place.parent.mkdir(exist_ok=True)
    path.rename(place)
    path.symlink_to(os.path.relpath(place, path.parent) if relative else place)


def age(root: Path) -> None:
    then = time.time() - 10
    for path in root.rglob("*"):
        os.utime(path, (then, then), follow_symlinks=False)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("place", [outside, below])
async def test_an_image_all_of_whose_files_are_links_is_pulled(
    client: Client, tmp_path: Path, place: Callable[[Path, Path], Path], *, relative: bool
) -> None:
    await push_image(client, "app", IMAGE, "v1")
    for path in files(tmp_path / "data"):
        lead_to(path, place(path, tmp_path), relative=relative)
    await pull_image(client, "app", IMAGE, "v1")
    head = await ask(client, "HEAD", f"/v2/app/blobs/{LAYER}")
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(LARGE)))
    part = await ask(client, "GET", f"/v2/app/blobs/{LAYER}", {"Range": "bytes=1000-1999"})
    assert (part.status, part.body) == (206, LARGE[1000:2000])
    assert (await ask(client, "GET", "/v2/app/tags/list")).body == b'{"name":"app","tags":["v1"]}\n'


@fast_path_only("what it remembers is looked at again")
@pytest.mark.parametrize("change", ["another link", "another file there", "the same file, written in place"])
async def test_a_tag_whose_link_leads_elsewhere_now_is_noticed(client: Client, tmp_path: Path, change: str) -> None:
    for each, tag in ((IMAGE, "v1"), (OTHER, "other")):
        await push_image(client, "app", each, tag)
    tags = tmp_path / "data/docker/registry/v2/repositories/app/_manifests/tags"
    current, place = tags / "v1/current/link", tmp_path / "outside/v1"
    lead_to(current, place)
    age(tmp_path)
    head = request_head("GET", "/v2/app/manifests/v1")
    async with connected(client) as connection:
        for _ in range(2):
            await connection.send(head)
            assert (await connection.answer("GET")).body == IMAGE.content
            if _ == 0:
                client.app[PREPARED].clear()
        assert list(client.app[PREPARED]) == [], "went the ordinary way"
        match change:
            case "another link":
                (tmp_path / "link").symlink_to(tags / "other/current/link")
                (tmp_path / "link").rename(current)
            case "another file there":
                (tmp_path / "file").write_text(OTHER.digest)
                (tmp_path / "file").rename(place)
            case _:
                place.write_text(OTHER.digest)
        await connection.send(head)
        assert (await connection.answer("GET")).body == OTHER.content


@pytest.mark.parametrize("leads_to", ["nowhere", "itself", "a directory", "a pipe"])
async def test_a_link_that_leads_to_no_file_is_not_there(client: Client, tmp_path: Path, leads_to: str) -> None:
    await push_image(client, "app", IMAGE, "v1")
    (tmp_path / "a directory").mkdir()
    os.mkfifo(tmp_path / "a pipe")
    for path in files(tmp_path / "data"):
        content = path.read_bytes()
        path.unlink()
        path.symlink_to(path if leads_to == "itself" else tmp_path / leads_to)
        answers = [
            await ask(client, method, f"/v2/app/{what}")
            for what in ("manifests/v1", f"manifests/{IMAGE.digest}", f"blobs/{LAYER}", "tags/list")
            for method in ("GET", "HEAD")
        ]
        assert {answer.status for answer in answers} <= {200, 404, 405}
        is_asked_for = "44136fa" not in str(path) and "index" not in path.parts  # the config; what a tag ever named
        assert (404 in {answer.status for answer in answers}) == is_asked_for
        path.unlink()
        path.write_bytes(content)
    await pull_image(client, "app", IMAGE, "v1")


async def test_an_image_cannot_be_pushed_on_blobs_that_lead_nowhere(client: Client, tmp_path: Path) -> None:
    await push_blob(client, "app", b"{}")
    await push_blob(client, "app", b"other")
    encoded = digest_of(b"other").removeprefix("sha256:")
    [data] = (tmp_path / "data").glob(f"docker/registry/v2/blobs/*/*/{encoded}/data")
    data.unlink()
    data.symlink_to(tmp_path / "nowhere")
    assert (await put_manifest(client, "app", OTHER, "v1")).status == 404


async def test_a_push_replaces_links_and_leaves_what_they_led_to(client: Client, tmp_path: Path) -> None:
    await push_image(client, "app", IMAGE, "v1")
    places: dict[Path, bytes] = {}
    for path in files(tmp_path / "data"):
        place = outside(path, tmp_path)
        lead_to(path, place)
        places[place] = place.read_bytes()
        place.chmod(0o444)
        os.utime(place, (1, 1))
    await push_image(client, "app", IMAGE, "v1")
    for place, content in places.items():
        assert (place.read_bytes(), place.stat().st_mtime) == (content, 1)
    assert not [path for path in files(tmp_path / "data") if path.is_symlink()]
    await pull_image(client, "app", IMAGE, "v1")


async def test_a_deletion_takes_the_link_and_not_what_it_led_to(client: Client, tmp_path: Path) -> None:
    await push_image(client, "app", IMAGE, "v1")
    for path in files(tmp_path / "data"):
        lead_to(path, outside(path, tmp_path))
    count = len(list((tmp_path / "outside").iterdir()))
    for what in ("manifests/v1", f"manifests/{IMAGE.digest}", f"blobs/{LAYER}"):
        assert (await ask(client, "DELETE", f"/v2/app/{what}")).status == 202
        assert (await ask(client, "GET", f"/v2/app/{what}")).status == 404
    assert len(list((tmp_path / "outside").iterdir())) == count


@pytest.mark.parametrize("pushed", [IMAGE, OTHER])
async def test_a_pushed_tag_or_mounted_blob_may_rest_on_links(client: Client, tmp_path: Path, pushed: Image) -> None:
    await push_image(client, "app", pushed, "v1")
    for path in files(tmp_path / "data"):
        lead_to(path, outside(path, tmp_path))
    for blob in pushed.blobs:
        query = f"mount={digest_of(blob)}&from=app"
        assert (await ask(client, "POST", f"/v2/new/blobs/uploads/?{query}")).status == 201
    assert (await put_manifest(client, "new", pushed, "v1")).status == 201
    assert (await put_manifest(client, "app", pushed, "v2")).status == 201
    await pull_image(client, "new", pushed, "v1")
