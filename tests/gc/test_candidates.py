"""The table of all blobs does what a dict would do, in a third of the room."""

from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyregistry.gc.candidates import Candidates, PrefixBlobs
from pyregistry.storage.seams.coordinator import Generation

# Few different bytes: many digests that begin alike, and that contain each other across their borders.
ENCODED = {
    "sha256": st.lists(st.sampled_from(["00", "01", "ab", "ff"]), min_size=32, max_size=32).map("".join),
    "sha512": st.lists(st.sampled_from(["00", "01", "ab", "ff"]), min_size=64, max_size=64).map("".join),
}
DIGESTS = st.one_of(ENCODED["sha256"].map("sha256:{}".format), ENCODED["sha512"].map("sha512:{}".format))
GENERATIONS = st.builds(
    Generation, first=st.integers(0, 2**64 - 1), second=st.integers(0, 2**64 - 1), size=st.integers(0, 2**63)
)


def _candidates(blobs: dict[str, Generation]) -> Candidates:
    candidates = Candidates()
    for directory, digests in groupby(sorted(blobs), key=lambda digest: digest[: len("sha256:ab")]):
        blobs_of_prefix = PrefixBlobs(*directory.split(":"))
        for digest in digests:
            assert blobs_of_prefix.add(digest.partition(":")[2], blobs[digest])
        candidates.extend(blobs_of_prefix)
    return candidates


@given(st.dictionaries(DIGESTS, GENERATIONS, max_size=40), st.sets(DIGESTS, max_size=40), st.data())
@settings(max_examples=200)
def test_it_is_a_dict_of_records_and_a_set_of_marks(
    blobs: dict[str, Generation], others: set[str], data: st.DataObject
) -> None:
    candidates = _candidates(blobs)
    marked = data.draw(st.sets(st.sampled_from(sorted(blobs) + sorted(others)))) if blobs or others else set()
    assert {digest for digest in marked if candidates.mark(digest)} == marked & blobs.keys()
    assert not any(candidates.mark(digest) for digest in marked)
    for digest in blobs.keys() | others:
        generation = blobs.get(digest)
        assert candidates.size(digest) == (generation.size if generation is not None else None)
        assert candidates.is_marked(digest) == (digest in marked and digest in blobs)
        assert candidates.generation(digest) == generation
    assert (len(candidates), candidates.marked_count()) == (len(blobs), len(marked & blobs.keys()))
    assert list(candidates.unmarked()) == [
        (digest, blobs[digest].size) for digest in sorted(blobs) if digest not in marked
    ]


@given(st.text())
def test_what_is_no_digest_is_never_there(text: str) -> None:
    candidates = _candidates({"sha256:" + "ab" * 32: Generation(1, 1, 1)})
    for digest in (text, f"sha256:{text}", f"md5:{text}"):
        assert not candidates.mark(digest)
        assert candidates.size(digest) is None


def test_only_the_name_of_a_blob_is_added_and_only_to_its_directory() -> None:
    generation = Generation(1, 1, 1)
    blobs_of_prefix = PrefixBlobs("sha256", "ab")
    for name in ("", "ab", "ab" * 31, "ab" * 33, "AB" * 32, "ab " * 21 + "a", "zz" * 32, "_" * 64, "ac" + "ab" * 31):
        assert not blobs_of_prefix.add(name, generation), name
    assert not PrefixBlobs("sha256", "AB").add("AB" * 32, generation)
    assert len(blobs_of_prefix) == 0
    assert PrefixBlobs("sha512", "ab").add("ab" * 64, generation)


@pytest.mark.parametrize("last", ["untagged", "leased", "mark"])
@pytest.mark.parametrize("second", ["untagged", "leased", "mark"])
@pytest.mark.parametrize("first", ["untagged", "leased", "mark"])
def test_a_blob_counts_as_held_or_untagged_only_if_nothing_else_keeps_it(first: str, second: str, last: str) -> None:
    digest = "sha256:" + "ab" * 32
    candidates = _candidates({digest: Generation(1, 1, 5)})
    ways = {"untagged": candidates.mark_untagged, "leased": candidates.mark_leased, "mark": candidates.mark}
    for way in (first, second, last):
        ways[way](digest)
    assert list(candidates.unmarked()) == []
    assert candidates.is_marked(digest)
    assert candidates.untagged_size() == (5 if {first, second, last} == {"untagged"} else 0)
    assert list(candidates.leased_sizes()) == ([5] if {first, second, last} == {"leased"} else [])
