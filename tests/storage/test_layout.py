"""The paths: the drawing is what the functions make, and no value leads out of the root."""

import os.path
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import RegistryError
from pyregistry.oci.names import RepositoryName, Tag, UploadId
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import write_link

NAME = RepositoryName("team/app")
DIGEST = Digest("sha256:ab" + "0" * 62)
REFERRER = Digest("sha512:cd" + "1" * 126)
TAG = Tag("v1")
UPLOAD = UploadId("0f3b1c2d-4e5f-4a6b-8c7d-9e0f1a2b3c4d")
V2 = "docker/registry/v2"
HEX = "0" * 62

# Written out from the description of the CNCF registry's tree, with the values above.
PATHS: dict[str, tuple[StoragePath, str]] = {
    "the bytes of a blob": (layout.blob_data(DIGEST), f"blobs/sha256/ab/ab{HEX}/data"),
    "the bytes of a sha512 blob": (layout.blob_data(REFERRER), f"blobs/sha512/cd/cd{'1' * 126}/data"),
    "a repository": (layout.repository(NAME), "repositories/team/app"),
    "its blobs": (layout.layers(NAME), "repositories/team/app/_layers"),
    "one of them": (layout.layer(NAME, DIGEST), f"repositories/team/app/_layers/sha256/ab{HEX}"),
    "its link": (layout.layer_link(NAME, DIGEST), f"repositories/team/app/_layers/sha256/ab{HEX}/link"),
    "its manifests and tags": (layout.manifests(NAME), "repositories/team/app/_manifests"),
    "its manifests": (layout.revisions(NAME), "repositories/team/app/_manifests/revisions"),
    "a manifest": (layout.revision(NAME, DIGEST), f"repositories/team/app/_manifests/revisions/sha256/ab{HEX}"),
    "its revision link": (
        layout.revision_link(NAME, DIGEST),
        f"repositories/team/app/_manifests/revisions/sha256/ab{HEX}/link",
    ),
    "its tags": (layout.tags(NAME), "repositories/team/app/_manifests/tags"),
    "a tag": (layout.tag(NAME, TAG), "repositories/team/app/_manifests/tags/v1"),
    "what it names": (layout.tag_current_link(NAME, TAG), "repositories/team/app/_manifests/tags/v1/current/link"),
    "what it named": (
        layout.tag_index_link(NAME, TAG, DIGEST),
        f"repositories/team/app/_manifests/tags/v1/index/sha256/ab{HEX}/link",
    ),
    "its uploads": (layout.uploads(NAME), "repositories/team/app/_uploads"),
    "an upload": (layout.upload(NAME, UPLOAD), f"repositories/team/app/_uploads/{UPLOAD}"),
    "its bytes": (layout.upload_data(NAME, UPLOAD), f"repositories/team/app/_uploads/{UPLOAD}/data"),
    "its beginning": (layout.upload_started_at(NAME, UPLOAD), f"repositories/team/app/_uploads/{UPLOAD}/startedat"),
    "the referrers of a manifest": (layout.referrers(NAME, DIGEST), f"repositories/team/app/_referrers/sha256/ab{HEX}"),
    "one of them ": (
        layout.referrer(NAME, DIGEST, REFERRER),
        f"repositories/team/app/_referrers/sha256/ab{HEX}/sha512/cd{'1' * 126}/descriptor",
    ),
}


@pytest.mark.parametrize(("path", "below_v2"), PATHS.values(), ids=PATHS.keys())
def test_the_path_is_the_cncf_registrys(path: StoragePath, below_v2: str) -> None:
    assert path == f"{V2}/{below_v2}"


PRIVATE = [layout.TMP, layout.trash(layout.PRIVATE), layout.LOCKS, layout.upload_record(UPLOAD)]


@pytest.mark.parametrize("path", PRIVATE)
def test_what_is_ours_alone_is_where_the_cncf_registry_never_looks(path: StoragePath) -> None:
    assert path.startswith(f"{layout.PRIVATE}/")
    assert not layout.PRIVATE.startswith("docker")


def drawn_paths() -> set[str]:
    """The files and directories in the drawing, with the values above in the place of its words."""
    words = {
        "<algorithm>/<first two of hex>/<hex>": f"sha256/ab/ab{HEX}",
        "<algorithm>/<hex of subject>": f"sha256/ab{HEX}",
        "<algorithm>/<hex of referrer>": f"sha512/cd{'1' * 126}",
        "<algorithm>/<hex>": f"sha256/ab{HEX}",
        "<name>": NAME,
        "<tag>": TAG,
        "<id>": UPLOAD,
    }
    drawing = layout.__doc__ or ""
    for word, value in words.items():
        drawing = drawing.replace(word, value)
    paths: set[str] = set()
    parents: list[str] = []
    for indent, entries in re.findall(r"^    ( {0,8})([^\s](?:/  |[^\s])*)", drawing, re.MULTILINE):
        del parents[len(indent) // 2 :]
        paths |= {"/".join([*parents, entry.rstrip("/")]) for entry in entries.split()}
        parents.append(entries.strip().rstrip("/"))
    return paths


def test_every_file_of_the_drawing_is_made_by_a_function() -> None:
    made = {str(path) for path, _ in PATHS.values()}
    files = {path for path in drawn_paths() if path.rpartition("/")[2] in ("link", "data", "startedat", "descriptor")}
    assert len(files) == 8
    assert files <= made


def test_every_path_that_a_function_makes_is_drawn() -> None:
    made = {str(path) for path, _ in PATHS.values()} | {str(path) for path in PRIVATE}
    made.remove(layout.blob_data(REFERRER))  # drawn with the other digest
    drawn = [f"{path}/" for path in drawn_paths()]
    assert [path for path in made if not any(entry.startswith(f"{path}/") for entry in drawn)] == []


NAMES = st.from_regex(r"[a-z0-9]{1,3}([._-][a-z0-9]{1,3}){0,2}(/[a-z0-9]{1,3}(__[a-z]{1,2})?){0,3}", fullmatch=True)
DIGESTS = st.one_of(
    st.binary(max_size=3).map(Digest.of), st.binary(max_size=3).map(lambda content: Digest.of(content, "sha512"))
)
TAGS = st.text(alphabet="aZ0_.-", min_size=1, max_size=9).filter(lambda tag: tag[0] not in ".-")
Paths = Callable[[RepositoryName, Digest, Tag, UploadId], list[StoragePath]]


def all_paths(name: RepositoryName, digest: Digest, tag: Tag, upload_id: UploadId) -> list[StoragePath]:
    """Every path that can be made of these."""
    of_name = (layout.repository, layout.layers, layout.manifests, layout.revisions, layout.tags, layout.uploads)
    of_digest = (layout.layer, layout.layer_link, layout.revision, layout.revision_link, layout.referrers)
    of_upload = (layout.upload, layout.upload_data, layout.upload_started_at)
    return [
        layout.blob_data(digest),
        layout.upload_record(upload_id),
        layout.tag(name, tag),
        layout.tag_current_link(name, tag),
        layout.tag_index_link(name, tag, digest),
        layout.referrer(name, digest, digest),
        *(path(name) for path in of_name),
        *(path(name, digest) for path in of_digest),
        *(path(name, upload_id) for path in of_upload),
    ]


@given(NAMES, DIGESTS, TAGS, st.uuids().map(str))
def test_no_valid_value_leads_out_of_its_place(name: str, digest: Digest, tag: str, upload_id: str) -> None:
    for path in all_paths(RepositoryName(name), digest, Tag(tag), UploadId(upload_id)):
        assert path == os.path.normpath(path)
        assert path.startswith((f"{V2}/blobs/", f"{V2}/repositories/", ".pyregistry/uploads/"))
        assert not {"", ".", ".."} & set(path.split("/"))
        assert max(map(len, path.split("/"))) <= 255


HOSTILE = st.text(alphabet="a./\\%0\0\n_:-", max_size=12)


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_a_hostile_value_makes_no_path_at_all_or_one_in_its_place(
    name: str, digest: str, tag: str, upload_id: str
) -> None:
    for kind, value in ((RepositoryName, name), (Digest, digest), (Tag, tag), (UploadId, upload_id)):
        try:
            safe = kind(value)
        except RegistryError:
            continue
        assert not {"", ".", ".."} & set(safe.split("/"))
        assert re.fullmatch(r"[a-zA-Z0-9._:/-]+", safe)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\0", "../a"])
def test_what_is_no_name_of_an_entry_makes_no_path(name: str) -> None:
    with pytest.raises(ValueError, match="directory entry"):
        layout.child(layout.BLOBS, name)


@given(st.text(min_size=1, max_size=8))
def test_the_name_of_an_entry_stays_directly_below_its_directory(name: str) -> None:
    if name in (".", "..") or "/" in name or "\0" in name:
        return
    assert os.path.dirname(layout.child(layout.BLOBS, name)) == layout.BLOBS  # noqa: PTH120 - a path is text here


@pytest.mark.parametrize("digest", [DIGEST, REFERRER])
def test_a_link_is_its_digest_without_a_newline(digest: Digest) -> None:
    driver = MemoryDriver()
    path = layout.layer_link(NAME, digest)
    write_link(driver, path, digest)
    assert driver.read(path) == str(digest).encode()
