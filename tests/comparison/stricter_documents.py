"""Stricter requests: manifests and indexes."""

import json

from tests.builders import digest_of
from tests.comparison.asking import (
    DOCKER_IMAGE,
    DOCKER_LIST,
    LAYER,
    NOT_DISTRIBUTED,
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

ROWS = Rows()
row = ROWS.row


def _image_with(**fields: object) -> Request:
    return lambda asker: asker.put_image({**document(), **fields})


def _image_ending(text: str) -> Request:
    """An image whose last member is written like this."""
    return lambda asker: asker.put_image(
        encoded(document())[:-1] + b"," + text.encode("utf-8", "surrogateescape") + b"}"
    )


def _layer_with(**fields: object) -> Request:
    value = document()
    value["layers"][0].update(fields)
    return lambda asker: asker.put_image(value)


def _docker_image_with(**fields: object) -> Request:
    return lambda asker: asker.put_image({**document(), "mediaType": DOCKER_IMAGE, **fields}, DOCKER_IMAGE)


def _put_list(asker: Asker, fields: Document) -> Answer:
    return asker.put({**index_of(asker.push_image("child")), "mediaType": DOCKER_LIST, **fields}, DOCKER_LIST)


# Documents

row("a `size` below 0")(_layer_with(size=-1))
row("a `subject` that is no descriptor")(_image_with(subject="latest"))
row("a `subject` with a malformed digest")(_image_with(subject={"mediaType": OCI_IMAGE, "digest": "v1", "size": 7}))
row("an `artifactType` that is no text")(_image_with(artifactType=5))
row("`data` that is not the content")(_layer_with(data="eHh4eHg="))
row("`data` that is a list of numbers")(_layer_with(data=list(LAYER)))
row("Docker's image with `manifests`")(_docker_image_with(manifests=[]))
row("Docker's list with `layers`")(lambda asker: _put_list(asker, {"layers": []}))
row("`annotations` of Docker's image that are no map of texts")(_docker_image_with(annotations=["latest"]))
row('`{"schemaVersion": 2}` as an index')(lambda asker: asker.put_image({"schemaVersion": 2}, OCI_INDEX))
row("a key that is there twice")(_image_ending('"layers":[]'))
row("`Layers` as well as `layers`")(_image_ending('"Layers":[]'))
row("half a surrogate in a text")(_image_ending('"annotations":{"a":"\\ud800"}'))
row("bytes that are no UTF-8 in a text")(_image_ending('"annotations":{"a":"\udcff"}'))
row("a number that no float can hold")(_image_ending('"x":1e999'))
row("more than 32 levels of lists and maps")(_image_ending(f'"x":{"[" * 40}{"]" * 40}'))
row("more than 200,000 values")(_image_ending(f'"x":{json.dumps([0] * 250_000)}'))


def _by_digest(tags: list[str]) -> Request:
    content = encoded(document())
    query = "&".join(f"tag={tag}" for tag in tags)
    return lambda asker: asker.put_image(content, OCI_IMAGE, f"{digest_of(content)}?{query}")


row("`PUT …/manifests/<digest>?tag=` with what is no tag")(_by_digest([".hidden"]))
row("the same with more than 32 tags")(_by_digest([f"v{number}" for number in range(40)]))


# Where `validation.manifests.urls` allows `^https://good[.]test/` alone


def _foreign_layer_with(media_type: str, *urls: str) -> Request:
    return _layer_with(mediaType=media_type, urls=urls)


row("a layer of another type with a url that is not allowed", "urls")(
    _foreign_layer_with("application/vnd.example", "https://bad.test/a")
)
row("a url that is allowed, with a blank in it", "urls")(_foreign_layer_with(NOT_DISTRIBUTED, "https://good.test/ a"))
row("more than 1,000 different urls", "urls")(
    _foreign_layer_with(NOT_DISTRIBUTED, *(f"https://good.test/{number}" for number in range(1_100)))
)
