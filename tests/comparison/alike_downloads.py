"""Unusual downloads, and headers that any request may have."""

from tests.builders import digest_of
from tests.comparison.asking import (
    LAYER,
    LAYER_DIGEST,
    OCI_IMAGE,
    Answer,
    Asker,
)
from tests.comparison.rows import Request, Rows

ALIKE = Rows()


def _read(method: str, path: str, *fields: tuple[str, str]) -> Request:
    def request(asker: Asker) -> Answer:
        digest = digest_of(asker.find_image())
        filled = [(name, value.replace("DIGEST", digest)) for name, value in fields]
        return asker.ask(method, f"/v2/{asker.repository}/{path}", [("Accept", OCI_IMAGE), *filled])

    return request


_LAYER, _IMAGE = f"blobs/{LAYER_DIGEST}", "manifests/v1"
for value in ("0-1", "0-0,2-3", "1-", "-2", "0-100", "0-", "-100", "0-1,", "0-1, 3-4", " 0-1", "0 - 1", "9-10", "3-1"):
    ALIKE.add(f"Range bytes={value}", _read("GET", _LAYER, ("Range", f"bytes={value}")))
for value in (f'"{LAYER_DIGEST}"', "*", f'W/"{LAYER_DIGEST}"', f'"x", "{LAYER_DIGEST}"', '"x"', '"x'):
    ALIKE.add(f"If-None-Match {value} of a blob", _read("GET", _LAYER, ("If-None-Match", value)))
for value in ('"DIGEST"', "DIGEST", '"x"', "", '"x'):
    ALIKE.add(f"If-None-Match {value} of a manifest", _read("GET", _IMAGE, ("If-None-Match", value)))
for name in ("If-Modified-Since", "If-Unmodified-Since"):
    for value in ("Thu, 01 Jan 2099 00:00:00 GMT", "yesterday"):
        ALIKE.add(f"{name} {value}", _read("GET", _LAYER, (name, value)))
for value in (f'"{LAYER_DIGEST}"', '"x"', "x"):
    ALIKE.add(f"If-Range {value}", _read("GET", _LAYER, ("If-Range", value), ("Range", "bytes=0-1")))
for value in (OCI_IMAGE, f"{OCI_IMAGE};q=0.5", f"a/b, {OCI_IMAGE}", f"{OCI_IMAGE}, */*;q=0.1", f" {OCI_IMAGE} "):
    ALIKE.add(f"Accept {value!r}", _read("GET", _IMAGE, ("Accept", value)))
_TWICE = ("Range", "If-None-Match", "Date", "ETag", "Origin", "X-Forwarded-Host", "X-Forwarded-Proto", "Location")
for name in (*_TWICE, "Server", "Max-Forwards", "From", "If-Modified-Since", "Content-Location", "Cookie", "Referer"):
    ALIKE.add(f"{name} twice", _read("GET", _IMAGE, (name, "x"), (name, "x")))
ALIKE.add("GET with a body", _read("GET", _IMAGE, ("Content-Length", "0")))
ALIKE.add("GET with Expect", _read("GET", _IMAGE, ("Expect", "100-continue")))
ALIKE.add("GET with Upgrade", _read("GET", _IMAGE, ("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings")))
for size in (9_000, 30_000, 60_000):
    ALIKE.add(f"a header of {size} bytes", _read("GET", _IMAGE, ("X-Long", "a" * size)))
    ALIKE.add(f"a query of {size} bytes", _read("GET", f"{_IMAGE}?x={'a' * size}"))
for number in (100, 500, 900):
    ALIKE.add(f"{number} headers", _read("GET", _IMAGE, *((f"X-{at}", "a") for at in range(number))))


def _ranges(number: int) -> Request:
    def request(asker: Asker) -> Answer:
        digest = asker.push_blob(LAYER * 4 * number)
        value = "bytes=" + ",".join(f"{at * 20}-{at * 20 + 1}" for at in range(number))
        return asker.ask("GET", f"/v2/{asker.repository}/blobs/{digest}", [("Range", value)])

    return request


for number in (100, 990):
    ALIKE.add(f"{number} ranges", _ranges(number))
