"""Small documents that would become large values: refused by their bytes, before anything is built of them."""

import json
import tracemalloc
from collections.abc import Callable
from functools import partial

import pytest

from pyregistry.oci.errors import ManifestInvalid
from pyregistry.oci.json_text import MAX_VALUES
from pyregistry.oci.manifest import parse_manifest, read_manifest
from tests.builders import OCI_MANIFEST
from tests.oci.documents import encoded, image_document, nested

SIZE = 4 * 1024 * 1024
HEAD = encoded(image_document())[:-1] + b', "x": '


def filled(opening: bytes, unit: bytes, closing: bytes) -> bytes:
    """A manifest of almost SIZE bytes, whose unknown field repeats `unit`."""
    room = SIZE - len(HEAD) - len(opening) - len(closing) - 1
    return HEAD + opening + (unit * (room // len(unit) + 1))[: room // len(unit) * len(unit) - 1] + closing + b"}"


BOMBS: dict[str, Callable[[], bytes]] = {
    "small arrays in arrays": partial(filled, b"[", b"[[],[],[[]]],", b"]"),
    "empty arrays": partial(filled, b"[", b"[],", b"]"),
    "empty objects": partial(filled, b"[", b"{},", b"]"),
    "zeros": partial(filled, b"[", b"0,", b"]"),
    "empty strings": partial(filled, b"[", b'"",', b"]"),
    "strings with escaped quotes": partial(filled, b"[", b'"\\"",', b"]"),
    "strings of backslashes": partial(filled, b"[", b'"\\\\",', b"]"),
    "members of one object": partial(filled, b"{", b'"a":0,', b"}"),
    "objects of one member": partial(filled, b"[", b'{"a":{"b":0}},', b"]"),
    "spaces between": partial(filled, b"[", b"[ ] , ", b"0]"),
    "descriptors": partial(filled, b"[", b'{"digest":"","size":0},', b"]"),
    "brackets alone": lambda: HEAD + b"[" * (SIZE - len(HEAD)),
    "brackets from the first byte": lambda: b"[" * SIZE,
    "braces from the first byte": lambda: b'{"a":' * (SIZE // 5),
}
"""Each is made when its test runs: together they are 56 MiB, and every process of tests has all parameters."""


@pytest.mark.parametrize("make", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.parametrize("read", [lambda content: parse_manifest(content, OCI_MANIFEST), read_manifest])
def test_a_bomb_is_refused_before_anything_is_built(read: Callable[[bytes], object], make: Callable[[], bytes]) -> None:
    content = make()
    assert SIZE - 50 < len(content) <= SIZE
    tracemalloc.start()
    try:
        with pytest.raises(ManifestInvalid) as refused:
            read(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.detail
    assert peak < 3 * 1024 * 1024  # less than the document itself


def values(count: int) -> bytes:
    """An image with an unknown field, in which there are `count` commas and brackets in all."""
    document = image_document()
    around = sum(encoded({**document, "x": [1]}).count(mark) for mark in (b",", b"[", b"{"))
    return encoded({**document, "x": [1] * (count - around + 1)})


def test_a_manifest_may_have_as_many_values_as_the_limit_says() -> None:
    assert parse_manifest(values(MAX_VALUES), OCI_MANIFEST) == read_manifest(values(MAX_VALUES))
    for read in (lambda content: parse_manifest(content, OCI_MANIFEST), read_manifest):
        with pytest.raises(ManifestInvalid, match="values"):
            read(values(MAX_VALUES + 1))


LONG_STRINGS = {
    "brackets": "[{,:" * 300_000,
    "quotes, which are escaped": '"' * 300_000,
    "JSON": json.dumps([{"a": "\\"}] * 30_000),
    "backslashes": "\\" * 300_001,
    "backslashes and quotes": '\\"' * 100_001,
    "letters that are not ASCII": "\u00e9\u4e2d\U0001f600" * 100_000,
}


@pytest.mark.parametrize("text", LONG_STRINGS.values(), ids=LONG_STRINGS.keys())
@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_what_a_string_holds_is_not_counted(text: str, before: int) -> None:
    document = image_document() | {"annotations": {"a": "x" * before + text, "b": text}}
    assert parse_manifest(encoded(document), OCI_MANIFEST).media_type == OCI_MANIFEST
    with pytest.raises(ManifestInvalid, match="levels"):
        parse_manifest(encoded(document | {"z": nested(40, 0)}), OCI_MANIFEST)
    twice = encoded(document)[:-1] + b', "y": {"a": 1, "\\u0061": 1}}'
    with pytest.raises(ManifestInvalid, match="twice"):
        parse_manifest(twice, OCI_MANIFEST)
