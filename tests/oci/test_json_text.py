"""Measuring JSON by its bytes: exact for whatever is JSON, wherever the pieces are cut."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyregistry.oci import json_text
from pyregistry.oci.errors import ManifestInvalid
from pyregistry.oci.json_text import measure, read_strictly
from tests.oci.test_manifest_properties import JSON_VALUES

TRICKY = st.text(st.sampled_from('"\\[]{},:a\u00e9\n'), max_size=12)
DOCUMENTS = st.dictionaries(TRICKY, st.one_of(JSON_VALUES, TRICKY, st.lists(TRICKY, max_size=3)), max_size=4)
LIMIT = 1_000
"""Levels, more than any of these documents has."""


def members(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(members, value.values()))
    return sum(map(members, value)) if isinstance(value, list) else 0


def levels(value: object) -> int:
    if isinstance(value, dict | list):
        below = value.values() if isinstance(value, dict) else value
        return 1 + max(map(levels, below), default=0)
    return 0


@given(DOCUMENTS, st.integers(1, 9), st.booleans())
@settings(max_examples=300)
def test_members_and_levels_are_counted_wherever_the_pieces_are_cut(
    document: dict[str, object], piece: int, ascii_only: bool
) -> None:
    content = json.dumps(document, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_text, "_PIECE", piece)
        assert measure(content, LIMIT) == members(document)
        depth = levels(document)
        assert measure(content, depth) == members(document)
        with pytest.raises(ManifestInvalid, match="levels"):
            measure(content, depth - 1)


@given(st.one_of(st.text(st.sampled_from('{"a\\":[1],}e-.0 \n')), DOCUMENTS.map(json.dumps)))
@settings(max_examples=500)
def test_what_is_taken_is_what_the_standard_library_reads(text: str) -> None:
    with suppress(ManifestInvalid):
        read = read_strictly(text.encode(errors="surrogatepass"))
        assert read == json.loads(text)
