"""A volume at `docker`, as many compose files have it: a push by the API, and the commands while the server runs."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.builders import image
from tests.cli.place import run
from tests.conftest import StartRegistry
from tests.push import pull_image, push_blob, push_image
from tests.storage.mounts import tmpfs

POINTS = ["docker", "docker/registry", "docker/registry/v2", "docker/registry/v2/repositories/team"]


@pytest.fixture(params=POINTS)
def mounted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The config for commands, with something mounted in the data directory that it names."""
    point = tmp_path / "data" / request.param
    point.mkdir(parents=True)
    config = tmp_path / "config.yml"
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "data")}, "delete": {"enabled": True}}
    config.write_text(yaml.safe_dump({"version": 0.1, "storage": storage}))
    with tmpfs(point, "size=64m"):
        yield config


async def test_a_push_the_commands_and_readiness(mounted: Path, start_registry: StartRegistry) -> None:
    client = await start_registry()
    pushed = image(b"layer")
    await push_image(client, "team/app", pushed, "1.0")
    await push_image(client, "team/app", pushed, "1.1")
    unused = await push_blob(client, "team/app", b"unused")
    assert (await client.get("/readyz")).status == 200
    assert (await client.delete("/v2/team/app/manifests/1.1")).status == 202
    collected = await asyncio.to_thread(run, "gc", mounted, "--grace", "0", "--quiet")
    assert (collected.returncode, collected.stderr.count("Deleting blob")) == (0, 1)
    assert (await client.head(f"/v2/team/app/blobs/{unused}")).status == 404
    checked = await asyncio.to_thread(run, "fsck", mounted)
    assert checked.returncode == 0, checked.stdout
    listed = await asyncio.to_thread(run, "ls", "team/app", "-c", mounted)
    assert listed.stdout.count("team/app") == 1
    await pull_image(client, "team/app", pushed, "1.0")
