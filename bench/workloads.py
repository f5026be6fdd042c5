"""The works, in order of measurement. Targets are ratios to CNCF 3.1.1 unless they are absolute."""

import time
from collections.abc import Sequence

from bench import requests, transfers
from bench.environment import Environment, Work
from bench.results import REFERENCE, Target
from bench.transfers import GIB, MIB

_LAYOUT = ("pyregistry", "CNCF 2.8.2", REFERENCE)
"""Registries with the CNCF layout."""
_BOTH = ("pyregistry", REFERENCE)
_USERS = (*_LAYOUT, "zot")
"""olareg has no users."""
SIZES = (1_000, 10_000, 100_000)
MANY = SIZES[-1]


def _at_least(number: float) -> Target:
    return Target("≥", number)


def _at_most(number: float) -> Target:
    return Target("≤", number)


def _start(env: Environment) -> float:
    begin = time.perf_counter()
    env.server.start()
    return time.perf_counter() - begin


def _stop(env: Environment) -> None:
    env.server.stop()


WORKS = (
    Work("manifest-16", "manifest GET by tag, 16 connections", "requests/s", requests.manifest(16),
         requests.push_small, rate=True, target=_at_least(3), quick=True, group="manifest"),
    Work("manifest-64", "manifest GET by tag, 64 connections", "requests/s", requests.manifest(64),
         requests.push_small, rate=True, target=_at_least(3), group="manifest"),
    Work("htpasswd-5", "the same with htpasswd, bcrypt cost 5, 16 connections", "requests/s", requests.manifest(16),
         requests.prepare_guarded, rate=True, target=_at_least(20), contenders=_USERS, bcrypt_cost=5, quick=True),
    Work("htpasswd-10", "the same with htpasswd, bcrypt cost 10, 16 connections", "requests/s",
         requests.manifest(16, 5), requests.prepare_guarded, rate=True, target=_at_least(500), contenders=_USERS,
         bcrypt_cost=10),
    Work("head-blob", "HEAD blob, 16 connections", "requests/s", requests.head_blob, requests.push_small, rate=True,
         target=_at_least(2), quick=True),
    Work("push-1", "push one blob of 1 GiB (POST, PATCH chunked, PUT)", "s", transfers.push(1, GIB),
         target=_at_most(0.67), quick=True),
    Work("push-4", "push 4 blobs of 256 MiB at once", "s", transfers.push(4, 256 * MIB), target=_at_most(0.8),
         quick=True),
    Work("crane-layers", "crane push, 100 layers of 10 KiB", "s", transfers.crane_push,
         before=transfers.write_layers, target=_at_most(1), quick=True),
    Work("pull-1", "pull one blob of 1 GiB", "GB/s", transfers.pull(1), transfers.prepare_blob, rate=True,
         target=_at_least(1.2), quick=True),
    Work("pull-8", "pull it 8 times at once", "GB/s", transfers.pull(8), transfers.prepare_blob, rate=True,
         target=_at_least(1), rounds=3),
    Work("memory", "peak of memory, 8 pushes of 1 GiB at once, all processes", "MiB", transfers.memory(8, GIB),
         before=Environment.restart, target=_at_most(2), contenders=_LAYOUT, rounds=3, group="memory"),
    Work("memory-small", "the same, 8 pushes of 64 MiB", "MiB", transfers.memory(8, 64 * MIB),
         before=Environment.restart, contenders=_LAYOUT, rounds=3, group="memory"),
    Work("tags-last", "tags/list?n=100, near the end of 100,000", "ms", requests.last_tags, target=_at_most(1),
         repositories=0, tags=MANY, contenders=_LAYOUT),
    Work("catalog-first", "_catalog?n=100, first page of 100,000", "ms", requests.first_page, target=_at_most(1),
         repositories=MANY, contenders=_LAYOUT),
    Work("catalog-last", "_catalog?n=100, near the end of 100,000", "ms", requests.last_page, target=_at_most(1),
         repositories=MANY, contenders=_LAYOUT),
    Work("start", "start to first answer, 100,000 repositories", "s", _start, before=_stop,
         target=Target("≤", 1, absolute=True), repositories=MANY, contenders=_LAYOUT),
    *(Work(f"size-manifest-{count}", f"manifest GET by tag, {count:,} repositories", "requests/s",
           requests.manifest(16), requests.one_of_many, rate=True, repositories=count, contenders=_BOTH,
           group="size-manifest") for count in SIZES),
    *(Work(f"size-push-{count}", f"push of a small image, {count:,} repositories", "ms", requests.push_among_many,
           repositories=count, contenders=_BOTH, group="size-push") for count in SIZES),
    *(Work(f"size-catalog-{count}", f"_catalog?n=100, first page, {count:,} repositories", "ms",
           requests.first_page, repositories=count, contenders=_BOTH, group="size-catalog") for count in SIZES),
    Work("docker-push", "docker push, 8 layers of 128 MiB", "s", transfers.docker_push,
         before=transfers.prepare_docker_push, target=_at_most(1), contenders=_BOTH, engine=True, rounds=5),
    Work("docker-pull", "docker pull, 8 layers of 128 MiB", "s", transfers.docker_pull,
         transfers.prepare_docker_pull, before=transfers.forget_images, target=_at_most(1), contenders=_BOTH,
         engine=True, rounds=5),
)  # fmt: skip


def groups(works: Sequence[Work]) -> list[list[Work]]:
    """Return groups of works that are measured interleaved."""
    found: dict[str, list[Work]] = {}
    for work in works:
        found.setdefault(work.group or work.key, []).append(work)
    return list(found.values())
