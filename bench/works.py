"""What is measured: each work prepares a registry, and is then carried out again and again."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.loads import PASSWORD, USER, LoadError, Programs, ask, authorization, put_image, wrk
from bench.servers import Contender
from bench.trees import name_of, tag_of
from tests.engine.engine import Engine
from tests.engine.images import OCI_MANIFEST, digest_of, oci_image, unique, write_layout
from tests.processes import Server

MIB = 1024 * 1024
GIB = 1024 * MIB
ACCEPT = {"Accept": OCI_MANIFEST}


@dataclass
class Bed:
    """One registry, started for one work."""

    contender: Contender
    server: Server
    data: Path
    workspace: Path
    programs: Programs
    engine: Engine | None = None
    known: dict[str, str] = field(default_factory=dict)

    def drop(self, digests: list[str]) -> None:
        """Free the bytes of blobs that nobody will ask for again."""
        for digest in digests:
            encoded = digest.partition(":")[2]
            for found in self.data.glob(f"**/{encoded[:2]}/{encoded}/data"):
                found.unlink()

    def start_clean(self) -> None:
        """Without data, and without what the registry remembers of it."""
        self.server.stop()
        shutil.rmtree(self.data)
        self.data.mkdir()
        self.server.start()


@dataclass(frozen=True)
class Work:
    """`target` is the ratio to CNCF 3.1.1 that is wanted: at least for a rate, at most for a time."""

    key: str
    title: str
    unit: str
    measure: Callable[[Bed], float]
    prepare: Callable[[Bed], None] = lambda _: None
    rate: bool = False
    target: float | None = None
    bcrypt_cost: int | None = None
    repositories: int | None = None
    """On the data directory with so many repositories, which the contenders share."""
    only_layout: bool = False
    """For those that use the CNCF layout."""
    engine: bool = False
    quick: bool = False
    rounds: int | None = None


def _push_small(bed: Bed) -> None:
    image = oci_image([2000])
    headers = authorization() if bed.known.get("auth") else None
    put_image(bed.server, "app", "v1", image, headers)
    bed.known["layer"] = digest_of(image.layers[0])


def _manifest(connections: int) -> Callable[[Bed], float]:
    return lambda bed: wrk(f"{bed.server.url}/v2/app/manifests/v1", connections, headers=ACCEPT)


def _prepare_guarded(bed: Bed) -> None:
    if ask(bed.server, "GET", "/v2/app/manifests/v1")[0] != 401:
        raise LoadError(f"{bed.contender.name} lets everybody in")
    bed.known["auth"] = "yes"
    _push_small(bed)


def _guarded_manifest(bed: Bed) -> float:
    return wrk(f"{bed.server.url}/v2/app/manifests/v1", 16, headers={**ACCEPT, **authorization()})


def _head_blob(bed: Bed) -> float:
    result = bed.programs.run("head", f"{bed.server.url}/v2/app/blobs/{bed.known['layer']}", 16)
    return float(result["per_second"])


def _push(count: int, size: int) -> Callable[[Bed], float]:
    def measure(bed: Bed) -> float:
        result = bed.programs.run("push", bed.server.url, "app", count, size)
        bed.drop(result["digests"])
        return float(result["seconds"])

    return measure


def _prepare_blob(bed: Bed) -> None:
    bed.known["big"] = bed.programs.run("push", bed.server.url, "app", 1, GIB)["digests"][0]


def _pull(count: int) -> Callable[[Bed], float]:
    def measure(bed: Bed) -> float:
        result = bed.programs.run("pull", bed.server.url, "app", count, bed.known["big"])
        return float(result["bytes"] / result["seconds"] / 1e9)

    return measure


def _crane_push(bed: Bed) -> float:
    layout = bed.workspace / unique("layout")
    write_layout(layout, oci_image([10 * 1024] * 100))
    begin = time.perf_counter()
    words = [str(bed.programs.crane), "push", "--insecure", str(layout), f"{bed.server.host}/{unique('app')}:v1"]
    subprocess.run(words, check=True, capture_output=True)
    seconds = time.perf_counter() - begin
    shutil.rmtree(layout)
    return seconds


def _big_image(bed: Bed) -> str:
    """The image of 8 layers of 128 MiB, built once for all."""
    assert bed.engine is not None
    name = "bench/big:v1"
    if not bed.engine.run("image", "ls", "--quiet", name).strip():
        context = bed.workspace.parent / "context"
        context.mkdir()
        for number in range(8):
            with Path("/dev/urandom").open("rb") as source, (context / f"layer{number}").open("wb") as target:
                for _ in range(128):
                    target.write(source.read(MIB))
        bed.engine.build(name, context)
        shutil.rmtree(context)
    return name


def _docker_push(bed: Bed) -> float:
    assert bed.engine is not None
    bed.start_clean()
    name = f"{bed.server.host}/app:v1"
    bed.engine.run("tag", _big_image(bed), name)
    begin = time.perf_counter()
    bed.engine.run("push", name)
    return time.perf_counter() - begin


def _prepare_docker_pull(bed: Bed) -> None:
    _docker_push(bed)


def _docker_pull(bed: Bed) -> float:
    assert bed.engine is not None
    names = bed.engine.run("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()
    bed.engine.forget(*names)  # every name of these layers, or they would still be there
    begin = time.perf_counter()
    bed.engine.run("pull", f"{bed.server.host}/app:v1")
    return time.perf_counter() - begin


def _list(path: Callable[[int], str], expected: str) -> Callable[[Bed], float]:
    def measure(bed: Bed) -> float:
        count = int(bed.known["repositories"])
        result = bed.programs.run("get", bed.server.url + path(count))
        if expected not in result["body"]:
            raise LoadError(f"{bed.contender.name}: {result['body'][:200]}")
        return float(result["median"] * 1000)

    return measure


def _memory(count: int, size: int) -> Callable[[Bed], float]:
    def measure(bed: Bed) -> float:
        peak = 0
        done = threading.Event()

        def sample() -> None:
            nonlocal peak
            while not done.wait(0.05):
                peak = max(peak, memory_of(bed.server.pid))

        sampling = threading.Thread(target=sample)
        sampling.start()
        try:
            _push(count, size)(bed)
        finally:
            done.set()
            sampling.join()
        return peak / MIB

    return measure


def memory_of(pid: int) -> int:
    """Bytes of a process and those below it; what they share counts once."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return total + sum(memory_of(int(child)) for child in children)


def _start(bed: Bed) -> float:
    bed.server.stop()
    begin = time.perf_counter()
    bed.server.start()
    return time.perf_counter() - begin


def _tree_manifest(bed: Bed) -> float:
    name = name_of(int(bed.known["repositories"]) // 2)
    return wrk(f"{bed.server.url}/v2/{name}/manifests/v1", 16, headers=ACCEPT)


def _tree_push(bed: Bed) -> float:
    """Twenty images of one small layer, each into a new repository: seconds for one."""
    images = [oci_image([1000]) for _ in range(20)]
    names = [unique("new") for _ in images]
    begin = time.perf_counter()
    for name, image in zip(names, images, strict=True):
        put_image(bed.server, name, "v1", image)
    seconds = (time.perf_counter() - begin) / len(images)
    for name in names:
        shutil.rmtree(bed.data / "docker/registry/v2/repositories" / name)
    return seconds * 1000


_FIRST = _list(lambda _: "/v2/_catalog?n=100", '"r000099"')
_LAST = _list(lambda count: f"/v2/_catalog?n=100&last={name_of(count - 150)}", '"r099950"')
_TAGS = _list(lambda _: f"/v2/tagged/tags/list?n=100&last={tag_of(100_000 - 150)}", '"t099949"')

WORKS = (
    Work("manifest-16", "manifest GET by tag, 16 connections", "requests/s", _manifest(16), _push_small, True, 3.0,
         quick=True),
    Work("manifest-64", "manifest GET by tag, 64 connections", "requests/s", _manifest(64), _push_small, True, 3.0),
    Work("htpasswd-5", "the same with htpasswd, bcrypt cost 5", "requests/s", _guarded_manifest, _prepare_guarded,
         True, 20.0, bcrypt_cost=5, quick=True),
    Work("htpasswd-10", "the same with htpasswd, bcrypt cost 10", "requests/s", _guarded_manifest, _prepare_guarded,
         True, 500.0, bcrypt_cost=10),
    Work("head-blob", "HEAD blob, 16 connections", "requests/s", _head_blob, _push_small, True, 2.0, quick=True),
    Work("push-1", "push one blob of 1 GiB (POST, PATCH chunked, PUT)", "s", _push(1, GIB), target=0.67, quick=True),
    Work("push-4", "push 4 blobs of 256 MiB at once", "s", _push(4, 256 * MIB), target=0.8, quick=True),
    Work("crane-layers", "crane push, 100 layers of 10 KiB", "s", _crane_push, target=1.0, quick=True),
    Work("pull-1", "pull one blob of 1 GiB", "GB/s", _pull(1), _prepare_blob, True, 1.2, quick=True),
    Work("pull-8", "pull it 8 times at once", "GB/s", _pull(8), _prepare_blob, True, 1.0),
    Work("docker-push", "docker push, 8 layers of 128 MiB", "s", _docker_push, target=1.0, engine=True, rounds=3),
    Work("docker-pull", "docker pull, 8 layers of 128 MiB", "s", _docker_pull, _prepare_docker_pull, target=1.0,
         engine=True, rounds=3),
    Work("catalog-first", "_catalog?n=100, first page of 100,000", "ms", _FIRST, target=1.0, repositories=100_000,
         only_layout=True),
    Work("catalog-last", "_catalog?n=100, near the end of 100,000", "ms", _LAST, target=1.0, repositories=100_000,
         only_layout=True),
    Work("tags-last", "tags/list?n=100, near the end of 100,000", "ms", _TAGS, target=1.0, repositories=100_000,
         only_layout=True),
    Work("memory", "memory while 8 pushes of 1 GiB run, all processes", "MiB", _memory(8, GIB), target=2.0, rounds=2),
    Work("memory-small", "memory while 8 pushes of 64 MiB run", "MiB", _memory(8, 64 * MIB), rounds=2),
    Work("start", "start to first answer, 100,000 repositories (wanted: 1 s)", "s", _start,
         repositories=100_000, only_layout=True),
    *(
        work
        for count in (1_000, 10_000, 100_000)
        for work in (
            Work(f"size-manifest-{count}", f"manifest GET by tag, {count:,} repositories", "requests/s",
                 _tree_manifest, rate=True, repositories=count, only_layout=True),
            Work(f"size-push-{count}", f"push of a small image, {count:,} repositories", "ms", _tree_push,
                 repositories=count, only_layout=True),
            Work(f"size-catalog-{count}", f"_catalog?n=100, first page, {count:,} repositories", "ms", _FIRST,
                 repositories=count, only_layout=True),
        )
    ),
)  # fmt: skip


def write_htpasswd(path: Path, cost: int) -> None:
    """Apache's own tool makes the file."""
    words = ["htpasswd", "-B", "-C", str(cost), "-b", "-c", str(path), USER, PASSWORD]
    subprocess.run(words, check=True, capture_output=True)
