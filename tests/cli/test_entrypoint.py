"""The image's entry point, run as root with a test's own programs in the place of `registry` and `chown`."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pyregistry.cli.commands import Commands
from pyregistry.cli.entrypoint import _COMMANDS, _command
from tests.cli.commands import ours
from tests.processes import SOURCE_TREE, require, require_root, wait_until

SERVICE, GROUP = 1234, 3000
ENTRY = "from pyregistry.cli.entrypoint import main; main()"
SHOW = """#!{python}
import json, os, sys
environ = dict(line.split(b"=", 1) for line in open("/proc/self/environ", "rb").read().split(b"\\0") if line)
shown = {{os.fsdecode(name): os.fsdecode(value) for name, value in environ.items()}}
print(json.dumps([sys.argv[1:], shown, os.getuid(), os.getgid(), os.getgroups()]))
"""
SWAPPING_CHOWN = """#!/bin/sh
# In the moment between what find saw and what chown does, the service swaps a directory for a link.
if mv "$VICTIM" "$VICTIM.moved" 2>/dev/null; then ln -s "$OUTSIDE" "$VICTIM"; fi
exec /usr/bin/chown "$@"
"""


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["/etc/x.yml"], ["registry", "serve", "/etc/x.yml"]),
        (["x.yaml"], ["registry", "serve", "x.yaml"]),
        (["serve", "x"], ["registry", "serve", "x"]),
        (["garbage-collect", "x.yml"], ["registry", "garbage-collect", "x.yml"]),
        (["--version"], ["registry", "--version"]),
        (["help"], ["registry", "help"]),
        (["htpasswd", "-Bbn", "a", "b"], ["pyregistry", "htpasswd", "-Bbn", "a", "b"]),
        (["pyregistry", "ls"], ["pyregistry", "ls"]),
        (["gc", "--dry-run"], ["pyregistry", "gc", "--dry-run"]),
        (["/bin/ls", "-l"], ["/bin/ls", "-l"]),
        (["sh", "-c", "x"], ["sh", "-c", "x"]),
        ([], []),
    ],
)
def test_arguments_are_those_of_the_official_image(words: list[str], command: list[str]) -> None:
    assert _command(words) == command


def test_each_command_of_pyregistry_is_run_without_its_name() -> None:
    done = subprocess.run([*ours("pyregistry"), "--help"], check=True, capture_output=True, text=True)
    named = {name for name in _COMMANDS if re.search(rf"\b{name} ", done.stdout)}
    assert named == _COMMANDS - {"healthcheck"}  # which the help leaves out
    for name in Commands().commands:
        first = _command([name])[0]
        assert first == ("registry" if name in {"serve", "garbage-collect"} else "pyregistry")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that others may enter, unlike pytest's, with `bin` and a volume of the service's."""
    require_root()
    with tempfile.TemporaryDirectory(prefix="pyregistry-entry-") as directory:
        path = Path(directory)
        path.chmod(0o755)
        (path / "bin").mkdir()
        program(path, "registry", SHOW.format(python=require("/usr/bin/python3", "python3")))
        (path / "data").mkdir()
        os.chown(path / "data", SERVICE, GROUP)
        config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(path / "data")}}}
        (path / "config.yml").write_text(yaml.safe_dump(config))
        yield path


def program(place: Path, name: str, text: str) -> None:
    (place / "bin" / name).write_text(text)
    (place / "bin" / name).chmod(0o755)


def enter(place: Path, *words: str, environ: dict[bytes, bytes] | None = None) -> subprocess.CompletedProcess[bytes]:
    env = {b"PATH": os.fsencode(f"{place}/bin:/usr/sbin:/usr/bin:/sbin:/bin"), b"PYTHONPATH": bytes(SOURCE_TREE)}
    command = [sys.executable, "-c", ENTRY, *words]
    return subprocess.run(command, check=False, env={**env, **(environ or {})}, capture_output=True, timeout=60)


def test_the_server_gets_the_environment_byte_for_byte_and_the_rights_of_the_volumes_owner(place: Path) -> None:
    environ = {
        b"REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin": b'["*"]',
        b"a.b": b"dots",
        b"BYTES": b"\xff\xfe",
        b"LINES": b"a\nb=c",
        b"EMPTY": b"",
    }
    done = enter(place, str(place / "config.yml"), environ=environ)
    assert done.returncode == 0, done.stderr
    arguments, shown, user, group, groups = json.loads(done.stdout)
    assert arguments == ["serve", str(place / "config.yml")]
    for name, value in environ.items():
        assert os.fsencode(shown[os.fsdecode(name)]) == value
    assert (user, group, groups) == (SERVICE, GROUP, []), done.stderr


def test_what_is_no_server_keeps_its_rights(place: Path) -> None:
    done = enter(place, "registry", "garbage-collect", str(place / "config.yml"))
    assert json.loads(done.stdout)[2] == 0


@pytest.mark.parametrize("words", [["-c", "CONFIG"], ["--config", "CONFIG"], ["--config=CONFIG"], ["CONFIG"]])
def test_a_config_is_found_wherever_it_is_named(place: Path, words: list[str]) -> None:
    given = [word.replace("CONFIG", str(place / "config.yml")) for word in words]
    done = enter(place, "serve", *given)
    arguments, _, user, _, _ = json.loads(done.stdout)
    assert (arguments, user) == (["serve", *given], SERVICE), done.stderr


def test_a_server_that_is_asked_for_help_changes_no_owner(place: Path) -> None:
    os.chown(place / "data", 0, 0)
    done = enter(place, "serve", "--help", str(place / "config.yml"))
    assert json.loads(done.stdout)[0] == ["serve", "--help", str(place / "config.yml")]
    assert done.stderr == b""


def test_a_signal_ends_it_while_it_gives_a_large_volume_away_and_sighup_does_not(place: Path) -> None:
    os.chown(place / "data", 0, 0)
    (place / "data/docker").mkdir()
    program(place, "chown", f"#!/bin/sh\ntouch {place}/begun\nexec sleep 100\n")
    env = {"PATH": f"{place}/bin:/usr/bin:/bin", "PYTHONPATH": str(SOURCE_TREE)}
    command = [sys.executable, "-c", ENTRY, str(place / "config.yml")]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE) as entering:
        wait_until((place / "begun").exists, "it gives the volume away")
        entering.send_signal(signal.SIGHUP)
        entering.send_signal(signal.SIGTERM)
        _, errors = entering.communicate(timeout=30)
    assert entering.returncode == 128 + signal.SIGTERM
    assert b"which takes a while on a large volume" in errors
    assert b"Traceback" not in errors


def test_a_server_gets_a_process_that_opens_what_its_user_cannot_read(place: Path) -> None:
    config = yaml.safe_load((place / "config.yml").read_text())
    config["auth"] = {"htpasswd": {"realm": "r", "path": str(place / "users")}}
    (place / "config.yml").write_text(yaml.safe_dump(config))
    (place / "users").write_text("alice:hash")
    (place / "users").chmod(0o640)
    shutil.copy(SOURCE_TREE / "pyregistry/common/opener.py", place / "opener.py")
    program(
        place,
        "registry",
        f"""#!/usr/bin/python3
import os, sys
sys.path.insert(0, "{place}")
from opener import read_file
print(os.getuid(), read_file("{place}/users").decode())
""",
    )
    done = enter(place, str(place / "config.yml"))
    assert done.stdout.decode() == f"{SERVICE} alice:hash\n", done.stderr
    assert f"user {SERVICE} cannot read {place}/users: a root process opens it".encode() in done.stderr


def test_a_config_that_is_refused_is_left_to_the_server(place: Path) -> None:
    (place / "config.yml").write_text("version: 7")
    done = enter(place, str(place / "config.yml"))
    assert json.loads(done.stdout)[0] == ["serve", str(place / "config.yml")]
    assert done.stderr == b""


@pytest.mark.parametrize(("word", "status"), [("no-such-program", 127), ("/etc/passwd", 126)])
def test_a_command_that_is_none_ends_as_in_a_shell(place: Path, word: str, status: int) -> None:
    done = enter(place, word)
    assert (done.returncode, b"Traceback" in done.stderr) == (status, False)
    assert word.encode() in done.stderr


def test_what_root_left_in_the_volume_is_given_to_its_owner(place: Path) -> None:
    left = [place / "data/docker/registry/a", place / "data/.pyregistry/locks/b"]
    for path in left:
        path.parent.mkdir(parents=True)
        path.touch()
    (place / "data/other").touch()
    assert enter(place, str(place / "config.yml")).returncode == 0
    wait_until(lambda: all(path.stat().st_uid == SERVICE for path in left), "it is given away")
    assert (place / "data/docker").stat().st_uid == SERVICE
    assert (place / "data/other").stat().st_uid == 0


def test_nothing_outside_is_given_away_if_a_directory_is_swapped_for_a_link(place: Path) -> None:
    outside, victim = place / "outside", place / "data/docker/victim"
    for directory in (outside, victim):
        directory.mkdir(parents=True)
        for number in range(5):
            (directory / f"file{number}").touch()
    program(place, "chown", SWAPPING_CHOWN)
    swapped = {b"VICTIM": bytes(victim), b"OUTSIDE": bytes(outside)}
    done = enter(place, str(place / "config.yml"), environ=swapped)
    assert done.returncode == 0, done.stderr
    moved = victim.with_name("victim.moved")
    wait_until(lambda: (place / "data/docker").stat().st_uid == SERVICE, "it is done")
    assert moved.is_dir()
    assert victim.is_symlink()
    time.sleep(0.2)  # nothing to wait for: that nothing happens
    assert {path.stat().st_uid for path in (outside, *outside.iterdir())} == {0}


def test_a_link_to_the_outside_is_given_away_and_not_what_it_names(place: Path) -> None:
    outside = place / "outside"
    outside.mkdir()
    (place / "data/docker").mkdir()
    (place / "data/docker/link").symlink_to(outside)
    (place / "data/.pyregistry").symlink_to(outside)
    assert enter(place, str(place / "config.yml")).returncode == 0
    wait_until(lambda: (place / "data/docker/link").lstat().st_uid == SERVICE, "it is given away")
    assert outside.stat().st_uid == 0
    shutil.rmtree(place / "data/docker")


@pytest.mark.parametrize("owner", [0, SERVICE])
def test_a_directory_of_roots_is_given_away_by_its_name_or_by_a_link_of_roots_alone(place: Path, owner: int) -> None:
    outside, link = place / "outside", (place if owner == 0 else place / "data") / "link"
    outside.mkdir()
    link.symlink_to(outside)
    os.lchown(link, owner, owner)
    config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(link)}}}
    (place / "config.yml").write_text(yaml.safe_dump(config))
    program(place, "chown", f'#!/bin/sh\necho "$@" >>{place}/chown\n')
    done = enter(place, str(place / "config.yml"))
    assert (done.returncode == 0, (place / "chown").exists()) == (owner == 0, owner == 0), done.stderr
    assert (b"leads through a symbolic link of another user" in done.stderr) == (owner != 0)
