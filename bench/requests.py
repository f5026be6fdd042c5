"""Small requests: manifests, HEAD of a blob, lists, and all of these where there are many repositories."""

import json
import shutil
import time
from collections.abc import Callable

from bench.bed import Bed
from bench.loads import LoadError, ask, authorization, gets, put_image
from bench.trees import name_of, tag_of
from tests.engine.images import OCI_MANIFEST, digest_of, oci_image, unique

_ACCEPT = {"Accept": OCI_MANIFEST}
_SECONDS = 2
_PAGE = 100


def push_small(bed: Bed) -> None:
    """One image with one layer."""
    image = oci_image([2000])
    put_image(bed.server, "app", "v1", image, authorization() if bed.known.get("auth") else None)
    bed.known["layer"] = digest_of(image.layers[0])


def prepare_guarded(bed: Bed) -> None:
    """The same, where a password is asked for."""
    if ask(bed.server, "GET", "/v2/app/manifests/v1")[0] != 401:
        raise LoadError(f"{bed.contender.name} lets everybody in")
    bed.known["auth"] = "yes"
    push_small(bed)


def manifest(connections: int, seconds: float = _SECONDS) -> Callable[[Bed], float]:
    """GETs a second of one manifest by its tag, each of which the registry has to log."""

    def measure(bed: Bed) -> float:
        headers = {**_ACCEPT, **(authorization() if bed.known.get("auth") else {})}
        name = bed.known.get("name", "app")
        logged = bed.server.log.stat().st_size
        done = gets(f"{bed.server.url}/v2/{name}/manifests/v1", connections, seconds=seconds, headers=headers)
        bed.logged = _logged(bed, logged, done.count)
        return done.per_second

    return measure


def _logged(bed: Bed, begin: int, requests: int) -> str:
    """What a request writes into the log; a registry may write it after the answer."""
    end = time.monotonic() + 5
    while True:
        with bed.server.log.open("rb") as log:
            log.seek(begin)
            written = log.read()
        if (lines := written.count(b"\n")) >= requests:
            return f"{lines / requests:.1f} lines, {len(written) / requests:.0f} bytes"
        if time.monotonic() > end:
            raise LoadError(f"{bed.contender.name} logged {lines} of {requests} requests")
        time.sleep(0.1)


def head_blob(bed: Bed) -> float:
    """HEADs a second."""
    result = bed.programs.run("head", f"{bed.server.url}/v2/app/blobs/{bed.known['layer']}", 16, _SECONDS)
    return float(result["per_second"])


def page(path: Callable[[int], str], kind: str, expected: str) -> Callable[[Bed], float]:
    """Milliseconds of a page of a list, which must be one of 100 names."""

    def measure(bed: Bed) -> float:
        result = bed.programs.run("get", bed.server.url + path(int(bed.known["repositories"])))
        names = json.loads(result["body"])[kind]
        if len(names) != _PAGE or expected not in names:
            raise LoadError(f"{bed.contender.name} answers a page of {_PAGE} with {len(names)} names")
        return float(result["median"] * 1000)

    return measure


first_page = page(lambda _: f"/v2/_catalog?n={_PAGE}", "repositories", name_of(99))
last_page = page(lambda count: f"/v2/_catalog?n={_PAGE}&last={name_of(count - 150)}", "repositories", name_of(99_950))
last_tags = page(lambda _: f"/v2/tagged/tags/list?n={_PAGE}&last={tag_of(100_000 - 150)}", "tags", tag_of(99_949))


def one_of_many(bed: Bed) -> None:
    """The manifest that is asked for lies in the middle of a tree."""
    bed.known["name"] = name_of(int(bed.known["repositories"]) // 2)


def push_among_many(bed: Bed) -> float:
    """Fifty images of one small layer, each into a new repository: milliseconds for one."""
    images = [oci_image([1000]) for _ in range(50)]
    names = [unique("new") for _ in images]
    begin = time.perf_counter()
    for name, image in zip(names, images, strict=True):
        put_image(bed.server, name, "v1", image)
    seconds = (time.perf_counter() - begin) / len(images)
    for name in names:
        shutil.rmtree(bed.data / "docker/registry/v2/repositories" / name)
    return seconds * 1000
