"""Names, tags, upload ids and references: accepted exactly as the spec says, at the first and the last character."""

import re
import uuid
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import BlobUploadUnknown, DigestInvalid, ManifestInvalid, NameInvalid
from pyregistry.oci.names import RepositoryName, Tag, UploadId, parse_reference

# Word for word from the distribution spec, "Pulling manifests".
SPEC_NAME = re.compile(
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*",
)
SPEC_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")

HEX = "0123456789abcdef"
SHA256 = "sha256:" + HEX * 4
SHA512 = "sha512:" + HEX * 8
UUID = "0f3b1c2d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"

ACCEPTED_NAMES = {
    "one letter": "a",
    "one digit": "0",
    "several components": "library/alpine/edge",
    "a dot between letters": "a.b",
    "one underscore": "a_b",
    "two underscores": "a__b",
    "one hyphen": "a-b",
    "any number of hyphens": "a-----b",
    "separators in turn": "a.b_c__d-e",
    "what looks like a domain": "registry.example.com/team/app",
    "the words of the API": "blobs/uploads/manifests/tags/list",
    "one component of 255 characters": "a" * 255,
    "255 characters in all": "a" * 127 + "/" + "b" * 127,
    "128 components": "/".join("a" * 128),
}
REFUSED_NAMES = {
    "nothing": "",
    "256 characters": "a" * 256,
    "256 characters in all": "a" * 128 + "/" + "b" * 127,
    "129 components": "/".join("a" * 129),
    "upper case": "Alpine",
    "a newline at the end": "alpine\n",
    "a newline between components": "a\n/b",
    "a carriage return at the end": "alpine\r",
    "NUL": "a\0b",
    "NUL at the end": "alpine\0",
    "a space": "a b",
    "a tab at the end": "a\t",
    "two dots": "a..b",
    "a component of one dot": "a/./b",
    "a component of two dots": "a/../b",
    "parent directories": "../../etc/passwd",
    "a dot at the start": ".a",
    "a dot at the end": "a.",
    "three underscores": "a___b",
    "an underscore at the start": "_layers",
    "a reserved component": "a/_manifests",
    "an underscore at the end": "a_",
    "a hyphen at the start": "-a",
    "a hyphen at the end": "a-",
    "two different separators": "a._b",
    "a slash at the start": "/a",
    "a slash at the end": "a/",
    "two slashes": "a//b",
    "a backslash": "a\\b",
    "an escaped slash": "a%2Fb",
    "a percent sign": "a%b",
    "a colon": "a:b",
    "an at sign": "a@b",
    "Arabic digits": "a\u0661",
    "fullwidth letters": "\uff41",
    "an accent": "\u00e9",
    "the Kelvin sign, which folds to k": "\u212a",
    "the long s, which folds to s": "\u017f",
    "a lone surrogate": "a\udcff",
}
ACCEPTED_TAGS = {
    "one letter": "a",
    "upper case": "V1",
    "an underscore at the start": "_",
    "a usual one": "v1.2.3-rc.1",
    "two dots inside": "a..b",
    "a dot and a hyphen at the end": "a.-",
    "of the referrers tag schema": "sha256-" + HEX * 4,
    "128 characters": "a" * 128,
}
REFUSED_TAGS = {
    "nothing": "",
    "129 characters": "a" * 129,
    "a megabyte": "a" * 1_000_000,
    "a dot at the start": ".a",
    "a parent directory": "..",
    "a hyphen at the start": "-a",
    "a newline at the end": "v1\n",
    "NUL": "v1\0",
    "a slash": "a/b",
    "a backslash": "a\\b",
    "an escaped slash": "a%2Fb",
    "a space": "a b",
    "a colon": "a:b",
    "a plus sign": "1.0+git",
    "Arabic digits": "v\u0661",
    "an accent": "\u00e9",
    "the Kelvin sign": "\u212a",
}
REFUSED_IDS = {
    "nothing": "",
    "upper case": UUID.upper(),
    "no hyphens": UUID.replace("-", ""),
    "braces": f"{{{UUID}}}",
    "a newline at the end": UUID + "\n",
    "NUL at the end": UUID + "\0",
    "one digit more": UUID + "0",
    "one digit less": UUID[:-1],
    "a parent directory": "..",
    "a slash": UUID[:-1] + "/",
    "Arabic digits": UUID.replace("0", "\u0660"),
    "something after 37 characters": UUID + "\n" + "a" * 100,
}


@pytest.mark.parametrize("value", ACCEPTED_NAMES.values(), ids=ACCEPTED_NAMES.keys())
def test_a_repository_name_may_have(value: str) -> None:
    assert RepositoryName(value) == value


@pytest.mark.parametrize("value", REFUSED_NAMES.values(), ids=REFUSED_NAMES.keys())
def test_a_repository_name_may_not_have(value: str) -> None:
    with pytest.raises(NameInvalid) as refused:
        RepositoryName(value)
    assert refused.value.detail


@pytest.mark.parametrize("value", ACCEPTED_TAGS.values(), ids=ACCEPTED_TAGS.keys())
def test_a_tag_may_be(value: str) -> None:
    assert Tag(value) == value


@pytest.mark.parametrize("value", REFUSED_TAGS.values(), ids=REFUSED_TAGS.keys())
def test_a_tag_may_not_be(value: str) -> None:
    with pytest.raises(ManifestInvalid):
        Tag(value)


@pytest.mark.parametrize("value", REFUSED_IDS.values(), ids=REFUSED_IDS.keys())
def test_an_upload_id_of_another_shape_is_unknown(value: str) -> None:
    with pytest.raises(BlobUploadUnknown):
        UploadId(value)


@given(st.uuids())
def test_every_uuid_in_canonical_spelling_is_an_upload_id(value: uuid.UUID) -> None:
    assert UploadId(str(value)) == str(value)


@pytest.mark.parametrize("value", ["v1", "sha256", "sha256-" + HEX * 4])
def test_a_reference_without_a_colon_is_a_tag(value: str) -> None:
    assert isinstance(parse_reference(value), Tag)


@pytest.mark.parametrize("value", [SHA256, SHA512])
def test_a_reference_with_a_colon_is_a_digest(value: str) -> None:
    assert isinstance(parse_reference(value), Digest)


@pytest.mark.parametrize("value", ["a:b", "sha256:", ":", "md5:" + HEX * 2, SHA256 + "\n", "v1:" + HEX * 4])
def test_a_reference_with_a_colon_that_is_no_digest_is_never_a_tag(value: str) -> None:
    with pytest.raises(DigestInvalid):
        parse_reference(value)


@pytest.mark.parametrize("value", ["", "..", "a/b", "v1\n"])
def test_a_reference_that_is_neither_is_refused_as_a_tag(value: str) -> None:
    with pytest.raises(ManifestInvalid):
        parse_reference(value)


NEARLY_NAMES = st.one_of(
    st.integers(min_value=126, max_value=130).map(lambda components: "/".join("a" * components)),
    st.text(alphabet="ab09._-/", max_size=20),
    st.text(alphabet="a9._-/A%\n\0\u0661 \\", max_size=12),
    st.integers(min_value=250, max_value=260).map(lambda length: "a" * length),
    st.text(max_size=10),
)
NEARLY_TAGS = st.one_of(
    st.from_regex(SPEC_TAG, fullmatch=True),
    st.text(alphabet="aZ09._-\n/:%\0\u0661", max_size=12),
    st.integers(min_value=120, max_value=140).map(lambda length: "t" * length),
    st.text(max_size=10),
)


@given(NEARLY_NAMES)
@example("a\n")
@settings(max_examples=500)
def test_a_name_is_accepted_exactly_when_the_pattern_of_the_spec_and_the_limits_hold(value: str) -> None:
    right = SPEC_NAME.fullmatch(value) is not None and len(value) <= 255
    assert _accepts(RepositoryName, value, NameInvalid) == right


@given(NEARLY_TAGS)
@example("v1\n")
@settings(max_examples=500)
def test_a_tag_is_accepted_exactly_when_the_pattern_of_the_spec_holds(value: str) -> None:
    assert _accepts(Tag, value, ManifestInvalid) == (SPEC_TAG.fullmatch(value) is not None)


@given(st.one_of(st.from_regex(r"[0-9a-f-]{34,38}", fullmatch=True), st.uuids().map(str), st.text(max_size=40)))
def test_an_upload_id_is_accepted_exactly_when_it_is_a_canonical_uuid(value: str) -> None:
    groups = value.split("-")
    right = [len(group) for group in groups] == [8, 4, 4, 4, 12] and set("".join(groups)) <= set(HEX)
    assert _accepts(UploadId, value, BlobUploadUnknown) == right


@given(st.one_of(st.just(SHA256), st.just(SHA512), NEARLY_TAGS, st.text(alphabet="sha256:51f", max_size=140)))
def test_a_reference_is_what_its_colon_says_or_refused(value: str) -> None:
    kind, refusal = (Digest, DigestInvalid) if ":" in value else (Tag, ManifestInvalid)
    with suppress(refusal):
        reference = parse_reference(value)
        assert (type(reference), str(reference)) == (kind, value)


def _accepts(kind: type[str], value: str, refusal: type[Exception]) -> bool:
    try:
        return kind(value) == value
    except refusal:
        return False
