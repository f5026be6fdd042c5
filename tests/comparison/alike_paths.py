"""Unusual paths, names, tags, digests, methods and queries."""

from urllib.parse import quote

from tests.builders import digest_of
from tests.comparison.asking import CONFIG_DIGEST, LAYER_DIGEST, OCI_IMAGE, Answer, Asker
from tests.comparison.rows import Request, Rows, plain

ALIKE = Rows()
_ACCEPT = ("Accept", OCI_IMAGE)
_SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}


def _of_an_image(method: str, target: str) -> Request:
    """A request to a repository that has an image; REPO, DIGEST, HEX, LAYER stand for what is there."""

    def request(asker: Asker) -> Answer:
        digest = digest_of(asker.find_image() if method in _SAFE else asker.push_image())
        words = {"REPO": asker.repository, "DIGEST": digest, "HEX": digest.partition(":")[2], "LAYER": LAYER_DIGEST}
        path = target
        for word, value in words.items():
            path = path.replace(word, value)
        return asker.ask(method, path, [_ACCEPT])

    return request


# Paths that the CNCF registry cleans, and those of nothing at all
for target in (
    *("/v2", "/v2/", "//v2/", "/v2//", "/v2/?x", "/", "/V2/", "/v1/_ping", "/v1/search?q=x"),
    *("/v2/foo", "/v2/_foo", "/_catalog", "/v2/REPO", "/v2/REPO/", "/robots.txt", "/v2/REPO/_catalog"),
    *("/v2/_catalog", "/v2/_catalog/", "/v2/_catalog?", "/v2/%5fcatalog", "/v2//_catalog"),
    *("/v2/REPO/manifests/v1", "//v2/REPO/manifests/v1", "/v2//REPO/manifests/v1", "/v2/REPO//manifests/v1"),
    *("/v2/REPO/manifests//v1", "/v2/REPO/manifests/v1/", "/v2/REPO/manifests/v1?", "/v2/REPO/manifests/v1?ns=x.io"),
    *("/v2/REPO/manifests/%761", "/v2/REPO/manifests/"),
    *("/v2/REPO/manifests", "/v2/REPO/manifests/none", "/v2/REPO/manifests/v1.", "/v2/REPO/manifests/v1;x=1"),
    *("/v2/REPO/manifests/DIGEST", "/v2/REPO/manifests/DIGEST/", "/v2/REPO/manifests/sha256%3AHEX"),
    *("/v2/REPO/manifests/sha256%3aHEX", "/v2/REPO/manifests/v1@DIGEST", "/v2/REPO/manifests/SHA256:HEX"),
    *("/v2/REPO/manifests/-x", "/v2/REPO/manifests/.x", "/v2/REPO/manifests/a%20b", "/v2/REPO/manifests/v1%0a"),
    *("/v2/REPO/manifests/a%2Fb", "/v2/REPO/manifests/a+b", "/v2/REPO/manifests/" + "a" * 129),
    *("/v2/REPO/blobs/LAYER", "/v2/REPO//blobs/LAYER", "/v2/REPO/blobs//LAYER", "/v2/REPO/blobs/LAYER/"),
    *("/v2/REPO/blobs/DIGEST", "/v2/REPO/blobs/none", "/v2/REPO/blobs/", "/v2/REPO/blobs/SHA256:HEX"),
    *("/v2/REPO/blobs/uploads/", "/v2/REPO/blobs/uploads", "/v2/REPO/tags/list", "/v2/REPO/tags/list/"),
    *("/v2/REPO/tags//list", "/v2/REPO/tags/", "/v2/REPO/tags", "/v2/none/tags/list", "/v2/none/manifests/v1"),
):
    for method in ("GET", "HEAD"):
        ALIKE.add(f"{method} {target}", _of_an_image(method, target))


for name in (
    *("a", "1", "a.b/c_d", "a__b", "a--b", "a---b", "a___b", "a..b", "a._b", "-a", "a-", "_a", "a/-b", "a/_b", "a b"),
    *("a:b", "a@b", "a~b", "ä", "manifests", "blobs/uploads", "tags/list", "v2", "A"),
    *("a/manifests", "x/blobs/y", "docker.io/library/alpine", "/".join("abcdefghij" * 4), "/".join(["ab"] * 85)),
    *("a" * 200, "a/b/c/d/e/f"),
):
    ALIKE.add(f"tags of {name}", plain("GET", f"/v2/{quote(name)}/tags/list"))
    ALIKE.add(f"a manifest of {name}", plain("GET", f"/v2/{quote(name)}/manifests/v1"))
    ALIKE.add(f"an upload to {name}", plain("POST", f"/v2/{quote(name)}/blobs/uploads/"))


def _with_escaped_slash(escape: str) -> Request:
    def request(asker: Asker) -> Answer:
        asker.find_image()
        return asker.ask("GET", f"/v2/{asker.repository.replace('/', escape)}/manifests/v1", [_ACCEPT])

    return request


for escape in ("%2F", "%2f"):
    ALIKE.add(f"a name with {escape}", _with_escaped_slash(escape))

_TAGS = (
    "v1",
    "V1",
    "_x",
    "1",
    "a.b-c_d",
    "a" * 128,
    "sha256-abc.sig",
    ".x",
    "-x",
    "a+b",
    "a%2Bb",
    "%40x",
    "a%2Fb",
    "x%0A",
)
for tag in _TAGS:
    for method in ("HEAD", "DELETE"):
        ALIKE.add(f"{method} tag {tag}", _of_an_image(method, f"/v2/REPO/manifests/{tag}"))

# Methods
for method in ("OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"):
    for target in ("_catalog", "REPO/tags/list", "REPO/manifests/v1", "REPO/blobs/LAYER", "REPO/blobs/uploads/"):
        if (method, target) not in {("PUT", "REPO/manifests/v1"), ("DELETE", "REPO/blobs/LAYER")}:
            ALIKE.add(f"{method} {target}", _of_an_image(method, f"/v2/{target}"))
for target in (CONFIG_DIGEST, digest_of(b"none")):
    ALIKE.add(f"DELETE blob {target[:9]}", _of_an_image("DELETE", f"/v2/REPO/blobs/{target}"))
ALIKE.add("DELETE a manifest by its digest", _of_an_image("DELETE", "/v2/REPO/manifests/DIGEST"))
ALIKE.add("DELETE an unknown manifest", _of_an_image("DELETE", f"/v2/REPO/manifests/{digest_of(b'none')}"))
ALIKE.add("DELETE a tag of an unknown repository", _of_an_image("DELETE", "/v2/none/manifests/v1"))

ALIKE.add("OPTIONS *", plain("OPTIONS", "*"))

# Lists
for query in (
    *(
        "",
        "?n=",
        "?n",
        "?n&last",
        "?n=0",
        "?n=1",
        "?n=-1",
        "?n=%2B1",
        "?n=1.0",
        "?n=abc",
        "?n=1&n=2",
        "?n=1000",
        "?n=01",
    ),
    *("?n=%31", "?n=1%20", "?n=0x1", "?n=99999999999999999999", "?n=null", "?n=1_0", "?n=%D9%A1", "?N=1", "?x=y"),
    *("?last=", "?last=zzz", "?last=A_B%20!!", "?last=a&last=b", "?last=-", "?last=a/", "?last=%2F", "?last=../x"),
    *("?last=%FF", "?n=1&last=", "?n=1&&last=a", "?page=2", "?last=none&n=5"),
):
    ALIKE.add(f"catalog{query}", _of_an_image("GET", f"/v2/_catalog{query}"))
    ALIKE.add(f"tags/list{query}", _of_an_image("GET", f"/v2/REPO/tags/list{query}"))
