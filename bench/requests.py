"""Small requests: manifests, HEAD of a blob, lists, also with many repositories."""

import json
import shutil
import time
from collections.abc import Callable

from bench.environment import Environment
from bench.loads import LoadError, ask, authorization, gets, put_image
from bench.trees import name_of, tag_of
from tests.engine.images import OCI_MANIFEST, digest_of, oci_image, unique

_ACCEPT = {"Accept": OCI_MANIFEST}
_SECONDS = 2
_PAGE = 100


def push_small(env: Environment) -> None:
    """Push an image with one layer."""
    image = oci_image([2000])
    put_image(env.server, "app", "v1", image, authorization() if env.known.get("auth") else None)
    env.known["layer"] = digest_of(image.layers[0])


def prepare_guarded(env: Environment) -> None:
    """Push the same image to a registry with passwords."""
    if ask(env.server, "GET", "/v2/app/manifests/v1")[0] != 401:
        raise LoadError(f"{env.contender.name} does not ask for a password")
    env.known["auth"] = "yes"
    push_small(env)


def manifest(connections: int, seconds: float = _SECONDS) -> Callable[[Environment], float]:
    """Measure GETs a second of one manifest by its tag, each of which the registry must log."""

    def measure(env: Environment) -> float:
        headers = {**_ACCEPT, **(authorization() if env.known.get("auth") else {})}
        name = env.known.get("name", "app")
        logged = env.server.log.stat().st_size
        done = gets(f"{env.server.url}/v2/{name}/manifests/v1", connections, seconds=seconds, headers=headers)
        env.logged = _logged(env, logged, done.count)
        return done.per_second

    return measure


def _logged(env: Environment, begin: int, requests: int) -> str:
    """Return the size of a request's log lines, which a registry may write after the response."""
    end = time.monotonic() + 5
    while True:
        with env.server.log.open("rb") as log:
            log.seek(begin)
            written = log.read()
        if (lines := written.count(b"\n")) >= requests:
            return f"{lines / requests:.1f} lines, {len(written) / requests:.0f} bytes"
        if time.monotonic() > end:
            raise LoadError(f"{env.contender.name} logged {lines} of {requests} requests")
        time.sleep(0.1)


def head_blob(env: Environment) -> float:
    """Measure HEADs a second."""
    result = env.programs.run("head", f"{env.server.url}/v2/app/blobs/{env.known['layer']}", 16, _SECONDS)
    return float(result["per_second"])


def page(path: Callable[[int], str], kind: str, expected: str) -> Callable[[Environment], float]:
    """Measure milliseconds of a page of a list, which must have 100 names."""

    def measure(env: Environment) -> float:
        result = env.programs.run("get", env.server.url + path(int(env.known["repositories"])))
        names = json.loads(result["body"])[kind]
        if len(names) != _PAGE or expected not in names:
            raise LoadError(f"{env.contender.name} answers a page of {_PAGE} with {len(names)} names")
        return float(result["median"] * 1000)

    return measure


first_page = page(lambda _: f"/v2/_catalog?n={_PAGE}", "repositories", name_of(99))
last_page = page(lambda count: f"/v2/_catalog?n={_PAGE}&last={name_of(count - 150)}", "repositories", name_of(99_950))
last_tags = page(lambda _: f"/v2/tagged/tags/list?n={_PAGE}&last={tag_of(100_000 - 150)}", "tags", tag_of(99_949))


def one_of_many(env: Environment) -> None:
    """Choose a manifest in the middle of a tree."""
    env.known["name"] = name_of(int(env.known["repositories"]) // 2)


def push_among_many(env: Environment) -> float:
    """Push fifty images of one small layer, each to a new repository; return milliseconds for one."""
    images = [oci_image([1000]) for _ in range(50)]
    names = [unique("new") for _ in images]
    begin = time.perf_counter()
    for name, image in zip(names, images, strict=True):
        put_image(env.server, name, "v1", image)
    seconds = (time.perf_counter() - begin) / len(images)
    for name in names:
        shutil.rmtree(env.data / "docker/registry/v2/repositories" / name)
    return seconds * 1000
