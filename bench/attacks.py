"""Attacks of one caller for `bench.hostile`: `python -m bench.attacks PORT DATA KEY` attacks until it is killed.

A row of CASES has the prepared data, the attack, and the requests that it may disturb. Each attack comes from one user
at few addresses; attacks from many addresses are not covered.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.attack import connected
from bench.generated import Tree
from bench.loads import LoadError, ask
from tests.auth.credentials import basic
from tests.engine.images import OCI_MANIFEST, digest_of, oci_image
from tests.processes import SOURCE_TREE, Server

TAGS, REPOSITORIES, LAYERS, AT_ONCE, PUSHERS = 50_000, 10_000, 1_990, 12, 20
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
MALLORY, EVE = basic("mallory", "mallory's"), basic("eve", "eve's")
_SECRET = b"a layer of a repository that the attacker may not read"
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Arena:
    """The target of an attack."""

    port: int
    data: Path

    async def again_and_again(self, count: int, request: "Callable[[int], Request]") -> None:
        """Send requests without a pause on `count` connections."""

        async def one(number: int) -> None:
            while True:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    async with connected(self.port) as connection:
                        while True:
                            method, path, headers, body = request(number)
                            await connection.ask(method, path, headers, body)

        await asyncio.gather(*(one(number) for number in range(count)))


Request = tuple[str, str, Mapping[str, str], bytes]


@dataclass(frozen=True)
class Case:
    """An attack; `victims` are the requests that it may disturb: pulls, new connections or new logins."""

    key: str
    title: str
    attack: Callable[[Arena], Awaitable[None]]
    prepare: Callable[[Server, Path], None] = lambda server, data: None
    victims: str = "pulls"
    slow_flush: bool = False
    """Each flush of the server takes 50 ms longer."""


def _tagged(_: Server, data: Path) -> None:
    image, tree = oci_image([1024]), Tree(data)
    for blob in image.blobs:
        tree.link_blob("mallory/tagged", tree.add_blob(blob))
    tree.link_manifest("mallory/tagged", tree.add_blob(image.manifest), [f"t{number:06}" for number in range(TAGS)])


def _many(_: Server, data: Path) -> None:
    image, tree = oci_image([1024]), Tree(data)
    blobs, manifest = [tree.add_blob(blob) for blob in image.blobs], tree.add_blob(image.manifest)
    for number in range(REPOSITORIES):
        for blob in blobs:
            tree.link_blob(f"r{number:06}", blob)
        tree.link_manifest(f"r{number:06}", manifest, ["v1"])
    tree.link_blob("secret", tree.add_blob(_SECRET))


def _layers(_: Server, data: Path) -> None:
    tree = Tree(data)
    for blob in _wide().blobs:
        tree.link_blob("mallory/wide", tree.add_blob(blob))


def _wide() -> "_Document":
    blobs = [f"layer {number}".encode() for number in range(LAYERS)]
    layers = [_descriptor(blob, "application/vnd.oci.image.layer.v1.tar") for blob in blobs]
    return _Document([b"{}", *blobs], _manifest(layers=layers))


@dataclass(frozen=True)
class _Document:
    blobs: list[bytes]
    content: bytes


def _descriptor(blob: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(blob), "size": len(blob)}


def _manifest(**fields: object) -> bytes:
    config = _descriptor(b"{}", "application/vnd.oci.image.config.v1+json")
    return json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [], **fields}
    ).encode()


async def _list_tags(arena: Arena) -> None:
    await arena.again_and_again(AT_ONCE, lambda _: ("GET", "/v2/mallory/tagged/tags/list", MALLORY, b""))


async def _list_catalog(arena: Arena) -> None:
    await arena.again_and_again(AT_ONCE, lambda _: ("GET", "/v2/_catalog?n=1", EVE, b""))


async def _mount(arena: Arena) -> None:
    path = f"/v2/mallory/new/blobs/uploads/?mount={digest_of(_SECRET)}"
    await arena.again_and_again(AT_ONCE, lambda _: ("POST", path, MALLORY, b""))


async def _put_wide(arena: Arena) -> None:
    headers, content = {**MALLORY, "Content-Type": OCI_MANIFEST}, _wide().content
    await arena.again_and_again(AT_ONCE, lambda n: ("PUT", f"/v2/mallory/wide/manifests/t{n}", headers, content))


async def _push_small(arena: Arena) -> None:
    def blob(number: int) -> Request:
        content = os.urandom(1_000)
        path = f"/v2/mallory/p{number}/blobs/uploads/?digest={digest_of(content)}"
        return "POST", path, {**MALLORY, "Content-Type": "application/octet-stream"}, content

    await arena.again_and_again(PUSHERS, blob)


_HOLD = """
import sys, time
from pyregistry.storage.backend import Directory
from pyregistry.storage.local.leases import exclusive_section
with exclusive_section(Directory(sys.argv[1]).open().local):
    print("held", flush=True)
    time.sleep(600)
"""


async def _stop_collector(arena: Arena) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLD, str(arena.data), stdout=asyncio.subprocess.PIPE, cwd=SOURCE_TREE
    )
    try:
        assert holder.stdout is not None
        await holder.stdout.readline()
        holder.send_signal(signal.SIGSTOP)
        await _push_small(arena)
    finally:
        holder.kill()


async def _put_nested(arena: Arena) -> None:
    headers = {**MALLORY, "Content-Type": OCI_MANIFEST}
    content = _manifest(deep=[])[:-3] + b"[" + b"[]," * (4 * _MIB // 3 - 300) + b"[]]}"
    await arena.again_and_again(AT_ONCE, lambda n: ("PUT", f"/v2/mallory/deep/manifests/t{n}", headers, content))


_SUBJECT = "sha256:" + "5" * 64


def _fallback(server: Server, data: Path) -> None:
    tree = Tree(data)
    big = _manifest(annotations={"a": "x" * (4 * _MIB - 2_000)}, subject=_subject())
    tree.link_blob("mallory/listed", tree.add_blob(b"{}"))
    tree.link_manifest("mallory/listed", tree.add_blob(big), ["big"])
    listed = [_descriptor(big, OCI_MANIFEST)] * 1_999
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}).encode()
    tree.link_manifest("mallory/listed", tree.add_blob(index), [_SUBJECT.replace(":", "-")])


def _annotated(server: Server, _: Path) -> None:
    typed = {**MALLORY, "Content-Type": OCI_MANIFEST}
    path = f"/v2/mallory/annotated/blobs/uploads/?digest={digest_of(b'{}')}"
    if ask(server, "POST", path, b"{}", {**MALLORY, "Content-Type": "application/octet-stream"})[0] != 201:
        raise LoadError("a blob was refused")
    for number in range(60):
        content = _manifest(annotations={str(number): "x" * (4 * _MIB - 2_000)}, subject=_subject())
        if ask(server, "PUT", f"/v2/mallory/annotated/manifests/{digest_of(content)}", content, typed)[0] != 201:
            raise LoadError("a manifest was refused")


def _subject() -> dict[str, object]:
    return {"mediaType": OCI_MANIFEST, "digest": _SUBJECT, "size": 2}


async def _list_fallback(arena: Arena) -> None:
    path = f"/v2/mallory/listed/referrers/{_SUBJECT}"
    await arena.again_and_again(AT_ONCE, lambda _: ("GET", path, MALLORY, b""))


async def _list_annotated(arena: Arena) -> None:
    path = f"/v2/mallory/annotated/referrers/{_SUBJECT}?n=1"
    await arena.again_and_again(AT_ONCE, lambda _: ("GET", path, MALLORY, b""))


async def _idle(arena: Arena) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for number in range(4_000):
            with contextlib.suppress(OSError):
                await stack.enter_async_context(connected(arena.port, f"127.3.0.{number % 2 + 1}"))
        await asyncio.sleep(600)


async def _guess(arena: Arena) -> None:
    async def one(number: int) -> None:
        tries = 0
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                async with connected(arena.port, f"127.4.0.{number % 10 + 1}") as connection:
                    while True:
                        tries += 1
                        await connection.get("/v2/", basic(f"unknown{number}", f"guess {tries}"))

    await asyncio.gather(*(one(number) for number in range(320)))


CASES = (
    Case("hostile-tags", f"{AT_ONCE} lists of {TAGS:,} tags", _list_tags, _tagged),
    Case("hostile-catalog", f"{AT_ONCE} catalogs, none of {REPOSITORIES:,} visible", _list_catalog, _many),
    Case("hostile-mount", f"{AT_ONCE} mounts without `from` among {REPOSITORIES:,}", _mount, _many),
    Case("hostile-layers", f"{AT_ONCE} manifests of {LAYERS:,} layers", _put_wide, _layers),
    Case("hostile-stopped", f"{PUSHERS} pushers and a stopped collector", _stop_collector),
    Case("hostile-flush", f"{PUSHERS} pushers, a flush takes 50 ms", _push_small, slow_flush=True),
    Case("hostile-nested", f"{AT_ONCE} manifests of 4 MiB of small arrays", _put_nested),
    Case("hostile-fallback", f"{AT_ONCE} referrers, one manifest named 1,999 times", _list_fallback, _fallback),
    Case("hostile-annotated", f"{AT_ONCE} referrers, 60 with 4 MB of annotations", _list_annotated, _annotated),
    Case("hostile-idle", "4,000 idle connections, new ones of others", _idle, victims="connections"),
    Case("hostile-guesses", "320 wrong passwords in flight, first logins", _guess, victims="logins"),
)
BY_KEY = {each.key: each for each in CASES}


def main(port: str, data: str, key: str) -> None:
    """Run the attack `key`."""
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_main(Arena(int(port), Path(data)), BY_KEY[key]))


async def _main(arena: Arena, case: Case) -> None:
    attacking = asyncio.ensure_future(case.attack(arena))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, attacking.cancel)
    await attacking


if __name__ == "__main__":
    main(*sys.argv[1:])
