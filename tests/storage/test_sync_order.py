"""The syncs and their order: the table of the durability contract, held against the system calls that are made."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import digest_of, image
from tests.storage.calls import trace

REPOSITORIES = "docker/registry/v2/repositories"
TMP = ".pyregistry/tmp/*"
TRASH = ".pyregistry/trash/*"
Trace = Callable[[str], list[str]]


@pytest.fixture
def traced(root: Path, tmp_path: Path) -> Trace:
    return lambda code: trace(root, code, tmp_path / "strace.log")


def ancestors(path: str) -> list[str]:
    """The directories above a path, from the top, without the root."""
    return [str(parent) for parent in reversed(Path(path).parents)][1:]


def assert_chain_synced(calls: list[str], path: str) -> None:
    """Each directory above `path` was made, and then the one that holds its name synced, from the top down."""
    syncs = []
    for directory in ancestors(path):
        made = calls.index(f"mkdir {directory}")
        syncs.append(calls.index(f"fsync {Path(directory).parent}", made))
    assert syncs == sorted(syncs)


def without_tmp(calls: list[str]) -> list[str]:
    """Without what prepares the directory of the temporary files."""
    return [call for call in calls if call not in ("mkdir .pyregistry", "mkdir .pyregistry/tmp")]


def test_a_new_file_is_synced_then_renamed_and_every_new_name_is_synced(traced: Trace) -> None:
    path = f"{REPOSITORIES}/a/link"
    calls = traced('driver.write(at("a", "link"), b"x")')
    assert_chain_synced(calls, path)
    renamed = calls.index(f"rename {TMP} {path}")
    assert calls.index(f"create {TMP}") < calls.index(f"write {TMP}") < calls.index(f"fsync {TMP}") < renamed
    assert calls[renamed + 1 :] == [f"fsync {REPOSITORIES}/a"]
    assert max(index for index, call in enumerate(calls) if call.startswith("mkdir")) < renamed


def test_in_directories_that_are_known_two_syncs_are_enough(traced: Trace) -> None:
    path = f"{REPOSITORIES}/a/link"
    known = 'driver.write(at("a", "link"), b"x")\n'
    calls = traced(f'{known}time.sleep(1.1)\n{known}driver.write(at("a", "link"), b"y")')
    assert calls[-5:] == [
        f"create {TMP}",
        f"write {TMP}",
        f"fsync {TMP}",
        f"rename {TMP} {path}",
        f"fsync {REPOSITORIES}/a",
    ]


def test_directories_that_another_process_made_are_synced_once_more(traced: Trace) -> None:
    # Their maker may not have synced them yet.
    assert not [call for call in traced('driver.make_directory(at("a", "b"), durable=False)') if "fsync" in call]
    calls = traced('driver.write(at("a", "b", "link"), b"x")')
    assert "mkdir" not in " ".join(without_tmp(calls))
    for directory in ancestors(f"{REPOSITORIES}/a/b/link"):
        assert f"fsync {Path(directory).parent}" in calls


def test_a_directory_that_was_deleted_and_made_again_is_synced_again(traced: Trace) -> None:
    code = 'driver.write(at("a", "b"), b"x")\ndriver.delete(at("a"))\ndriver.write(at("a", "b"), b"x")'
    calls = traced(code)
    again = calls[calls.index(f"rename {REPOSITORIES}/a {TRASH}") :]
    assert f"mkdir {REPOSITORIES}/a" in again
    assert f"fsync {REPOSITORIES}" in again[again.index(f"mkdir {REPOSITORIES}/a") :]


def test_a_directory_that_another_process_removed_and_made_again_is_synced_again(traced: Trace) -> None:
    # As a garbage collection and another worker do it; a crash would take the name that was not synced.
    known = 'driver.write(at("a", "b"), b"x")\n'
    other = f'subprocess.run(["sh", "-c", "cd {REPOSITORIES} && rm -r a && mkdir a"], cwd=driver.root, check=True)\n'
    calls = traced(f"{known}time.sleep(1.1)\n{known}{other}{known}")
    last = len(calls) - calls[::-1].index(f"create {TMP}")
    assert f"fsync {REPOSITORIES}" in calls[last:]


def test_a_known_directory_that_was_deleted_with_the_one_above_is_made_and_synced_again(traced: Trace) -> None:
    known = 'driver.write(at("a", "b", "c", "link"), b"x")\n'
    calls = traced(f'{known}time.sleep(1.1)\n{known}driver.delete(at("a", "b"))\n{known}')
    again = calls[calls.index(f"rename {REPOSITORIES}/a/b {TRASH}") :]
    for directory in ("a/b", "a/b/c"):
        made = again.index(f"mkdir {REPOSITORIES}/{directory}")
        assert f"fsync {REPOSITORIES}/{directory.rpartition('/')[0]}" in again[made:]


def test_what_need_not_be_durable_is_not_synced(traced: Trace) -> None:
    calls = traced('driver.write(at("a", "link"), b"x", durable=False); driver.make_directory(at("b"), durable=False)')
    assert f"rename {TMP} {REPOSITORIES}/a/link" in calls
    assert not [call for call in calls if "sync" in call]


def test_a_new_directory_and_all_above_it_are_synced(traced: Trace) -> None:
    calls = traced('driver.make_directory(at("a", "b"))')
    assert_chain_synced(calls, f"{REPOSITORIES}/a/b/x")


def test_a_moved_file_has_its_new_directories_synced_before_and_its_name_after(traced: Trace) -> None:
    traced('driver.write(at("a"), b"x")')
    calls = traced('driver.move(at("a"), at("new", "b"))')
    renamed = calls.index(f"rename {REPOSITORIES}/a {REPOSITORIES}/new/b")
    assert calls.index(f"mkdir {REPOSITORIES}/new") < calls.index(f"fsync {REPOSITORIES}") < renamed
    assert calls[renamed + 1 :] == [f"fsync {REPOSITORIES}/new"]


def test_what_is_deleted_is_renamed_and_synced_before_it_is_taken_apart(traced: Trace) -> None:
    traced('driver.write(at("a", "b", "c"), b"x")')
    calls = without_tmp(traced('driver.delete(at("a", "b"))'))
    renamed = calls.index(f"rename {REPOSITORIES}/a/b {TRASH}")
    assert calls[renamed + 1] == f"fsync {REPOSITORIES}/a"
    removed = [call.split()[0] for call in calls[renamed + 2 :]]
    assert "unlink" in removed
    assert set(removed) <= {"unlink", "rmdir"}


def test_no_published_file_is_written_in_place(traced: Trace) -> None:
    code = """
for content in (b"x", b"y"):
    driver.write(at("a", "b"), content)
driver.move(at("a", "b"), at("a", "c"))
driver.write(at("a", "b"), b"")
repository.put_manifest(Tag("v1"), image().content, None)
"""
    calls = traced(code)
    touched = [call for call in calls if call.split()[0] in ("create", "write", "ftruncate", "truncate")]
    locks = {call for call in calls if call.startswith("create .pyregistry/locks/")}
    assert set(touched) - locks == {f"create {TMP}", f"write {TMP}"}


def test_a_manifest_is_durable_before_its_link_that_before_its_tag(traced: Trace) -> None:
    calls = traced('repository.put_manifest(Tag("v1"), image().content, None)')
    encoded = image().digest.removeprefix("sha256:")
    manifests = f"{REPOSITORIES}/a/_manifests"
    order = [
        f"docker/registry/v2/blobs/sha256/{encoded[:2]}/{encoded}/data",
        f"{manifests}/revisions/sha256/{encoded}/link",
        f"{manifests}/tags/v1/index/sha256/{encoded}/link",
        f"{manifests}/tags/v1/current/link",
    ]
    assert [call.split()[2] for call in calls if call.startswith(f"rename {TMP}")] == order
    for path in order:
        assert_chain_synced(calls, path)
    last = calls.index(f"rename {TMP} {order[-1]}")
    for path in order:
        renamed = calls.index(f"rename {TMP} {path}")
        assert f"fsync {Path(path).parent}" in calls[renamed : last + 2]
        for directory in ancestors(path):
            assert f"fsync {Path(directory).parent}" in calls[:last]
    assert f"fsync {REPOSITORIES}/a" in calls[calls.index(f"mkdir {REPOSITORIES}/a/_layers") :]


def test_a_blob_is_durable_before_its_link_and_its_upload_goes_last(traced: Trace) -> None:
    code = """
async def chunks():
    yield b"content"
upload = repository.start_upload()
asyncio.run(upload.commit(Digest.of(b"content"), chunks()))
"""
    calls = traced(code)
    encoded = digest_of(b"content").removeprefix("sha256:")
    blob = f"docker/registry/v2/blobs/sha256/{encoded[:2]}/{encoded}/data"
    link = f"{REPOSITORIES}/a/_layers/sha256/{encoded}/link"
    synced = next(index for index, call in enumerate(calls) if call.startswith("fsync") and call.endswith("/data"))
    moved = next(index for index, call in enumerate(calls) if call.startswith("rename") and call.endswith(f" {blob}"))
    named = calls.index(f"fsync {Path(blob).parent}", moved)
    linked = calls.index(f"rename {TMP} {link}")
    removed = next(index for index, call in enumerate(calls) if "_uploads" in call and call.startswith("unlink"))
    assert calls[-1].startswith(f"rmdir {REPOSITORIES}/a/_uploads/")
    assert synced < moved < named < linked < calls.index(f"fsync {Path(link).parent}", linked) < removed
    assert_chain_synced(calls, blob)
    assert_chain_synced(calls, link)
