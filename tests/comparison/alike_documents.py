"""Unusual manifests and indexes."""

from typing import Any

from tests.builders import digest_of
from tests.comparison.asking import (
    CONFIG,
    DOCKER_IMAGE,
    DOCKER_LIST,
    LAYER,
    LAYER_DIGEST,
    OCI_IMAGE,
    OCI_INDEX,
    Answer,
    Asker,
    Document,
    document,
    encoded,
    index_of,
)
from tests.comparison.rows import Request, Rows

ALIKE = Rows()
_NONE = digest_of(b"none")
_EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"


def _without(value: Document, *names: str) -> Document:
    return {name: member for name, member in value.items() if name not in names}


def _image(fields: dict[str, Any], *dropped: str, content_type: str | None = OCI_IMAGE) -> Request:
    """The push of an image with these fields and without those."""
    return lambda asker: asker.put_image({**_without(document(), *dropped), **fields}, content_type)


def _index(fields: dict[str, Any], *dropped: str, content_type: str | None = OCI_INDEX) -> Request:
    """The same of an index."""
    return lambda asker: asker.put({**_without(index_of(asker.push_image("child")), *dropped), **fields}, content_type)


def _part(part: str, fields: dict[str, Any], *dropped: str) -> Request:
    """An image or index of which one descriptor has these fields and not those."""

    def request(asker: Asker) -> Answer:
        if part == "child":
            value = index_of(asker.push_image("child"))
            value["manifests"] = [{**_without(value["manifests"][0], *dropped), **fields}]
            return asker.put(value, OCI_INDEX)
        value = document()
        if part == "layer":
            value["layers"] = [{**_without(value["layers"][0], *dropped), **fields}]
        elif part == "config":
            value["config"] = {**_without(value["config"], *dropped), **fields}
        else:
            subject = {"mediaType": OCI_IMAGE, "digest": _NONE, "size": 7}
            value["subject"] = {**_without(subject, *dropped), **fields}
        return asker.put_image(value)

    return request


# Types
ALIKE.add("an image", _image({}))
ALIKE.add("an index", _index({}))
for words, content_type in {
    "in capitals": OCI_IMAGE.upper(),
    "with a parameter": f"{OCI_IMAGE}; charset=utf-8",
    "with half a parameter": f"{OCI_IMAGE};",
    "quoted": f'"{OCI_IMAGE}"',
    "of JSON": "application/json",
    "of bytes": "application/octet-stream",
    "of text": "text/plain",
    "of Docker": DOCKER_IMAGE,
    "of an index": OCI_INDEX,
    "of schema 1": "application/vnd.docker.distribution.manifest.v1+json",
    "of nobody": "application/vnd.example+json",
}.items():
    ALIKE.add(f"Content-Type {words}", _image({}, content_type=content_type))
    ALIKE.add(f"Content-Type {words}, no mediaType", _image({}, "mediaType", content_type=content_type))
value: Any
for value in (None, "", 5, "a/b", f"{OCI_IMAGE}; x=1", DOCKER_IMAGE, OCI_INDEX):
    ALIKE.add(f"mediaType {value!r}", _image({"mediaType": value}))
    ALIKE.add(f"index: mediaType {value!r}", _index({"mediaType": value}))
ALIKE.add("Docker's image", _image({"mediaType": DOCKER_IMAGE}, content_type=DOCKER_IMAGE))
ALIKE.add("Docker's list", _index({"mediaType": DOCKER_LIST}, content_type=DOCKER_LIST))
ALIKE.add("Docker's list without mediaType", _index({}, "mediaType", content_type=DOCKER_LIST))

# What belongs into which document
for value in (None, [], {}, "x", [None], [{}], [[]]):
    ALIKE.add(f"layers {value!r}", _image({"layers": value}))
    ALIKE.add(f"manifests {value!r}", _index({"manifests": value}))
    ALIKE.add(f"index: config {value!r}", _index({"config": value}))
    ALIKE.add(f"index: layers {value!r}", _index({"layers": value}))
    ALIKE.add(f"image: manifests {value!r}", _image({"manifests": value}))
for value in (None, {}, "x", []):
    ALIKE.add(f"config {value!r}", _image({"config": value}))
for name in ("config", "layers", "mediaType"):
    ALIKE.add(f"no {name}", _image({}, name))
for name in ("manifests", "mediaType"):
    ALIKE.add(f"index: no {name}", _index({}, name))
for value in ("2", 2.0, True, 2.5):
    ALIKE.add(f"schemaVersion {value!r}", _image({"schemaVersion": value}))
for value in (None, {}, {"a": "b"}, {"a": None}, {"": ""}, {"a": 5}, {"a": True}, {"a": {}}, [], "x"):
    ALIKE.add(f"annotations {value!r}", _image({"annotations": value}))
    ALIKE.add(f"index: annotations {value!r}", _index({"annotations": value}))
for value in (None, "", "x", "a/b", "a/b;c=d", "a b", "A/B", "x" * 200):
    ALIKE.add(f"artifactType {value!r}", _image({"artifactType": value}))
    ALIKE.add(f"index: artifactType {value!r}", _index({"artifactType": value}))
for value in (None, {}, {"digest": ""}, {"digest": None}):
    ALIKE.add(f"subject {value!r}", _image({"subject": value}))
for name, value in {"size": -1, "mediaType": 5, "annotations": [], "data": 5, "platform": "x", "urls": [5]}.items():
    ALIKE.add(f"subject: {name} of another kind", _part("subject", {name: value}))
ALIKE.add("300,000 bytes of annotations", _image({"annotations": {"a": "x" * 300_000}}))
ALIKE.add("5,000,000 bytes", _image({"annotations": {"a": "x" * 5_000_000}}))


def _children(number: int) -> Request:
    def request(asker: Asker) -> Answer:
        value = index_of(asker.push_image("child"))
        return asker.put({**value, "manifests": value["manifests"] * number}, OCI_INDEX)

    return request


for number in (127, 1_000, 2_001, 9_000):
    ALIKE.add(f"{number} layers", _image({"layers": document()["layers"] * number}))
    ALIKE.add(f"{number} children", _children(number))

# Descriptors
_VALUES: dict[str, list[Any]] = {
    "size": [0, 4, None, 2**62],
    "mediaType": [None, "", "text", "text/plain; charset=utf-8", "a/b;version=0.2", "A/B", "a b/c", "a/b/c", "ä/b"],
    "annotations": [None, {}, {"a": None}, {"a": "b"}],
    "artifactType": [None, "", "x", "a/b;c=d"],
    "data": [None, ""],
    "platform": [None, {}, {"os": None}, {"os": "linux", "architecture": "amd64", "os.features": None}],
    "urls": [None, []],
    "example": [{"a": [1, None]}],
}
_URLS: list[Any] = [
    "http://a/b",
    "https://a/b",
    "ipfs://a",
    "ftp://a/b",
    "magnet:?xt=a",
    "file:///a",
    "a",
    "",
    "http://a/#b",
]
for name, values in _VALUES.items():
    for value in [*values, *(["x" * 300] if name == "mediaType" else [])]:
        for part in ("config", "layer", "child", "subject"):
            ALIKE.add(f"{part}: {name} {value!r}", _part(part, {name: value}))
_WRONG: dict[str, list[Any]] = {
    "size": ["5", 5.5, 2**64, True],
    "mediaType": [5],
    "annotations": [{"a": 5}, {"a": {}}, [], "x"],
    "artifactType": [5],
    "data": [5, "!!", "bGF5ZXI"],
    "urls": ["x", [5]],
    "digest": [None, "", 5, _NONE],
}
for part in ("config", "layer", "child"):  # the CNCF registry does not look at a subject
    for name, values in _WRONG.items():
        for value in values:
            ALIKE.add(f"{part}: {name} {value!r}", _part(part, {name: value}))
    for name in ("digest", "size", "mediaType"):
        ALIKE.add(f"{part}: no {name}", _part(part, {}, name))
for part in ("config", "child", "subject"):  # of layers the config says which places may be named
    for url in _URLS:
        ALIKE.add(f"{part}: url {url!r}", _part(part, {"urls": [url]}))
    ALIKE.add(f"{part}: 20 urls", _part(part, {"urls": [f"http://a/{number}" for number in range(20)]}))
ALIKE.add("layer: its data", _part("layer", {"data": "bGF5ZXI="}))
ALIKE.add("config: its data", _part("config", {"data": "e30="}))
ALIKE.add("config: of another kind", _part("config", {"mediaType": "application/vnd.example.config+json"}))
ALIKE.add("config: the empty one", _part("config", {"mediaType": _EMPTY_CONFIG}))
ALIKE.add("config: a layer", _part("config", {"digest": LAYER_DIGEST, "size": len(LAYER)}))
ALIKE.add("layer: a config", _part("layer", {"digest": digest_of(CONFIG), "size": len(CONFIG)}))


# How it is written
def _written(words: str, old: str, new: str) -> None:
    """The text of an image with one change; `old` is empty for what comes behind its last member."""

    def request(asker: Asker) -> Answer:
        text = encoded(document()).decode()
        changed = text.replace(old, new) if old else f"{text[:-1]}{new}"
        return asker.put_image(changed.encode())

    ALIKE.add(f"written {words}", request)


for words, old, new in (
    ("with a field more", "", ',"history":[{"a":[1]}]}'),
    ("with the fields of schema 1", "", ',"fsLayers":[],"history":[]}'),
    ("with blobs", "", ',"blobs":[]}'),
    ("with tabs", " ", "\t"),
    ("with line ends of Windows", ", ", ",\r\n"),
    ("with a newline behind", "", "}\n"),
    ("with an escaped key", '"layers"', '"l\\u0061yers"'),
    ("with NUL in a text", "", ',"annotations":{"a":"\\u0000"}}'),
    ("with a name of 300 characters", "", ',"' + "x" * 300 + '":1}'),
    ("with letters", "", ',"annotations":{"ä":"日本"}}'),
    ("with a large number", "", ',"x":123456789012345678901234567890}'),
    ("with Size", '"size": 5', '"Size": 5'),
    ("with Layers", '"layers"', '"Layers"'),
    ("with MediaType", '"mediaType"', '"MediaType"'),
    ("with Digest next to digest", '"size": 5', '"size": 5, "Example": {"Digest": "x"}'),
    ("with Annotations", "", ',"Annotations":{}}'),
    ("without its end", "", ""),
    ("with more behind it", "", "}x"),
    ("twice", "", "}{}"),
    ("with a comma too much", "", ",}"),
    ("with NaN", "", ',"x":NaN}'),
    ("with a tab in a text", "", ',"x":"a\tb"}'),
    ("with a form feed", ", ", ",\f"),
):
    _written(words, old, new)


def _whole(text: str) -> Request:
    return lambda asker: asker.put_image(text.encode())


for words, text in {
    "empty": "",
    "a list": "[]",
    "a text": '"x"',
    "a byte order mark": "\ufeff{}",
    "a comment": "/*x*/{}",
}.items():
    ALIKE.add(f"written as {words}", _whole(text))


# Where it goes
def _to(reference: str) -> Request:
    return lambda asker: asker.put_image(document(), OCI_IMAGE, reference)


_DIGEST = digest_of(encoded(document()))
for reference in ("v1", "V_1.x-", "a" * 128, "a" * 129, ".x", "-x", "a+b", "a%20b", "a%2Fb", "v1%00", "%40x", "%C3%A4"):
    ALIKE.add(f"PUT tag {reference}", _to(reference))
for words, reference in {
    "its digest": _DIGEST,
    "its digest, escaped": _DIGEST.replace(":", "%3A"),
    "another digest": _NONE,
    "its digest with a tag": f"{_DIGEST}?tag=v1",
    "its digest with an empty tag": f"{_DIGEST}?tag=",
    "a tag with a tag": "v1?tag=v2",
}.items():
    ALIKE.add(f"PUT to {words}", _to(reference))
