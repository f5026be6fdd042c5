"""docs/json.md has a row for each field that `--json` prints, with its type, and none that is not printed."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyregistry.storage.local import volumes
from pyregistry.storage.local.filesystem import FilesystemDriver
from tests.cli.place import run
from tests.cli.running import write_config
from tests.fsck.trees import APP, blob_path, fill
from tests.processes import SOURCE_TREE
from tests.storage.pushing import push_blob, registry_on, repository

PAGE = (SOURCE_TREE / "docs/json.md").read_text()
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_IS: dict[str, Callable[[object], bool]] = {
    "string": lambda value: isinstance(value, str),
    "number": lambda value: type(value) is int,
    "bytes": lambda value: type(value) is int and value >= 0,
    "seconds": lambda value: type(value) in {int, float},
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "time": lambda value: isinstance(value, str) and _TIME.fullmatch(value) is not None,
    "list of strings": lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
}
COMMANDS: dict[str, list[tuple[str, ...]]] = {
    "ls": [("ls", "--json", "-c")],
    "ls NAME": [("ls", "--json", f"{APP}*", "-c")],
    "du": [("du", "--json"), ("du", "--json", "-m")],
    "gc": [("gc", "--json", "--dry-run"), ("gc", "--json", "--dry-run", "-m")],
    "fsck": [("fsck", "--json"), ("fsck", "--json", "--scrub", "--rate", "0")],
    "rm": [("rm", f"{APP}:latest", "--json", "-m", "--dry-run", "-c"), ("rm", "other", "--json", "--dry-run", "-c")],
    "access check": [("access", "check", user, "pull", "team/app", "--json", "-c") for user in ("alice", "bob")],
}


@pytest.fixture
def config(root: Path) -> Path:
    """A registry with something for each field: an open upload, a lease, an untagged manifest, damage."""
    rules = [{"who": ["alice"], "repositories": ["team/*"], "actions": ["pull"]}]
    users = root.parent / "htpasswd"
    users.write_text("")
    auth = {"htpasswd": {"realm": "test", "path": str(users)}}
    config = write_config(root.parent, auth=auth, pyregistry={"access": rules})
    root.mkdir(exist_ok=True)
    driver = FilesystemDriver(root)
    volumes.note_mounted(driver)
    fill(registry_on(driver))
    push_blob(repository(registry_on(driver)), b"in progress")
    driver.write(blob_path(b"new"), b"bad")
    return config


def documented(command: str) -> dict[str, list[str]]:
    """Return the types of each field."""
    table = PAGE.partition(f"<!-- {command} -->\n")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", table, re.MULTILINE)
    return {field: types.split(" or ") for field, types in rows}


def fields(document: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield each field with a value, the fields of members of lists under one name."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield from fields(value, f"{path}.{name}" if path else name)
    elif isinstance(document, list) and document and not isinstance(document[0], str):
        for each in document:
            yield from fields(each, f"{path}[]")
    else:
        yield path, document


def output_of(words: tuple[str, ...], config: Path) -> Any:
    """Return the document of a command, whatever its status."""
    return json.loads(run(*words, config).stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_has_each_field_with_its_type(config: Path, command: str) -> None:
    rows, seen = documented(command), set[str]()
    for words in COMMANDS[command]:
        for field, value in fields(output_of(words, config)):
            if isinstance(value, list) and not value and field not in rows:
                continue  # a list that has nothing in it here
            assert field in rows, f"docs/json.md has no row for {field} of {command}"
            assert any(_IS[each](value) for each in rows[field]), (field, value, rows[field])
            seen.add(field)
    assert seen == set(rows)


def test_every_command_with_the_option_has_a_table() -> None:
    sources = (SOURCE_TREE / "pyregistry/cli").glob("*.py")
    with_option = {path.stem for path in sources if '"--json"' in path.read_text()}
    assert with_option == {command.split()[0] for command in COMMANDS}
    assert set(re.findall("<!-- (.+) -->", PAGE)) == set(COMMANDS)


def test_a_repaired_finding_and_a_lost_image_are_of_the_types_of_the_page(config: Path) -> None:
    document = output_of(("fsck", "--json", "--scrub", "--repair", "--rate", "0"), config)
    rows = documented("fsck")
    values = dict(fields(document))
    assert document["repaired"] > 0
    assert any(each["repaired"] for each in document["findings"])
    assert any(each["lost"] for each in document["findings"])
    assert all(any(_IS[each](value) for each in rows[field]) for field, value in values.items())
