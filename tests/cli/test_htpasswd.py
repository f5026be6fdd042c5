"""`pyregistry htpasswd`, as a command, and side by side with Apache's tool."""

import os
import pty
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pyregistry.auth.hashes import make_hash
from pyregistry.auth.htpasswd import parse_htpasswd
from tests import forked
from tests.auth.test_hashes import with_unused_bits
from tests.measured_forks import unmeasured
from tests.processes import require

Done = subprocess.CompletedProcess[bytes]
PASSWORD = "s3cret:with:cölons"
QUICK = ("-C", "4")


def htpasswd(*arguments: str | Path, given: str | bytes = b"", umask: int = 0o022) -> Done:
    command = [sys.executable, "-m", "pyregistry", "htpasswd", *map(str, arguments)]
    content = given.encode() if isinstance(given, str) else given
    return forked.run(command, input=content, umask=umask)


def added(path: Path, user: str, password: str = PASSWORD, *options: str) -> Done:
    done = htpasswd("-i", *QUICK, *options, path, user, given=f"{password}\n")
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with alice."""
    added(tmp_path / "htpasswd", "alice", PASSWORD, "-c")
    return tmp_path / "htpasswd"


def test_add_change_verify_list_and_remove(path: Path) -> None:
    assert added(path, "bob", "first").stderr == b"Adding password for user bob\n"
    assert added(path, "bob", "second").stderr == b"Updating password for user bob\n"
    assert htpasswd("-l", path).stdout == b"alice\nbob\n"
    assert htpasswd("-vi", path, "bob", given="second").returncode == 0
    assert htpasswd("-vi", path, "bob", given="first").returncode == 3
    assert htpasswd("-vi", path, "alice", given=PASSWORD).returncode == 0
    assert htpasswd("-D", path, "alice").returncode == 0
    assert htpasswd("-l", path).stdout == b"bob\n"
    assert htpasswd("-D", path, "alice").returncode == 6
    assert htpasswd("-vi", path, "alice", given=PASSWORD).returncode == 6


@pytest.mark.parametrize("options", [["-Bbn"], ["-nbB"], ["-n", "-b"], ["-bnBC", "5"], ["--print", "--batch"]])
def test_a_line_on_standard_output_in_the_spelling_of_apaches_tool(options: list[str]) -> None:
    done = htpasswd(*options, "alice", PASSWORD)
    assert done.returncode == 0, done.stderr
    assert list(parse_htpasswd(done.stdout)) == ["alice"]
    assert done.stdout.startswith(b"alice:$2y$05$" if "5" in options else b"alice:$2y$10$")
    assert done.stdout.count(b"\n") == 1
    assert b"warning: a password among the arguments" in done.stderr
    assert PASSWORD.encode() not in done.stderr


def test_every_user_of_apaches_tool_is_right_here_and_the_other_way_round(tmp_path: Path) -> None:
    apache = require("htpasswd", "apache2-utils")
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    users = {"alice": PASSWORD, "bob": "p" * 72, "carol": "ü" * 60, "dave": " spaces ", "eve": "-b"}
    for number, (user, password) in enumerate(users.items()):
        new = ["-c"] if number == 0 else []
        command = [apache, "-Bi", *new, *QUICK, str(theirs), user]
        subprocess.run(command, input=password.encode(), check=True, capture_output=True)
        added(ours, user, password, *new)
    for user, password in users.items():
        for wrong in (False, True):
            attempt = "x" + password if wrong else password
            assert htpasswd("-vi", theirs, user, given=attempt).returncode == (3 if wrong else 0)
            command = [apache, "-vi", str(ours), user]
            done = subprocess.run(command, input=attempt.encode(), capture_output=True, check=False)
            assert done.returncode == (3 if wrong else 0), done.stderr
    subprocess.run([apache, "-D", str(ours), "bob"], check=True, capture_output=True)
    assert htpasswd("-D", theirs, "bob").returncode == 0
    assert htpasswd("-l", ours).stdout == htpasswd("-l", theirs).stdout == b"alice\ncarol\ndave\neve\n"


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_comments_order_and_other_formats_stay_as_they_are(tmp_path: Path, ending: bytes) -> None:
    path = tmp_path / "htpasswd"
    lines = [b"# team", b"old:$apr1$YSqgyMRd$sgVRFVXFvPpFkKDyGpbQy1", b"", b"bob:$2y$05$x", b"  # end", b"zoe:x:more"]
    path.write_bytes(ending.join(lines))  # no newline at the end
    added(path, "bob")
    added(path, "new")
    content = path.read_bytes()
    assert content.endswith(ending)
    after = content.split(ending)
    assert [line for number, line in enumerate(after) if number not in (3, 6)] == [*lines[:3], *lines[4:], b""]
    assert after[3].startswith(b"bob:$2y$04$")
    assert after[6].startswith(b"new:$2y$04$")
    for user in ["bob", "new"]:
        htpasswd("-D", path, user)
    assert path.read_bytes() == ending.join([*lines[:3], *lines[4:], b""])


def test_a_user_who_stood_there_twice_stands_there_once_afterwards(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)
    added(path, "alice", "changed")
    assert list(parse_htpasswd(path.read_bytes())) == ["alice"]
    assert htpasswd("-vi", path, "alice", given="changed").returncode == 0


def test_a_new_file_is_for_owner_and_group_and_an_old_one_keeps_mode_and_owner(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    if os.geteuid() == 0:
        os.chown(path, 1234, 5678)
    before = path.stat()
    added(path, "bob")
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino, "replaced, not written over"
    assert [entry.name for entry in path.parent.iterdir()] == ["htpasswd"]


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    added(link, "bob")
    assert link.is_symlink()
    assert htpasswd("-l", path).stdout == b"alice\nbob\n"


def test_ten_at_the_same_time_lose_nobody(path: Path) -> None:
    threads = [threading.Thread(target=added, args=(path, f"user{number}")) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(htpasswd("-l", path).stdout.split()) == sorted([b"alice", *(b"user%d" % each for each in range(10))])


def test_the_file_is_on_disk_before_it_has_its_name(path: Path, tmp_path: Path) -> None:
    strace = require("strace", "strace")
    calls = tmp_path / "calls"
    command = [strace, "-f", "-e", "trace=fsync,rename,renameat,renameat2", "-o", str(calls)]
    command += [sys.executable, "-m", "pyregistry", "htpasswd", "-i", *QUICK, str(path), "bob"]
    subprocess.run(command, input=b"secret", check=True, capture_output=True, env=unmeasured())
    lines = [line.split(maxsplit=1)[1] for line in calls.read_text().splitlines() if "(" in line]
    names = [line.partition("(")[0].rstrip("at2") for line in lines]
    assert names == ["fsync", "rename", "fsync"], lines


@pytest.mark.parametrize(
    ("arguments", "given", "status"),
    [
        pytest.param(["-i", "{path}", "bad:name"], "x", 6, id="a colon in the name"),
        pytest.param(["-i", "{path}", ""], "x", 6, id="no name"),
        pytest.param(["-i", "{path}", "#bob"], "x", 6, id="a comment as a name"),
        pytest.param(["-i", "{path}", "two\nlines"], "x", 6, id="a newline in the name"),
        pytest.param(["-i", "{path}", "a" * 256], "x", 6, id="a long name"),
        pytest.param(["-i", "{path}", "bob"], "", 2, id="no password"),
        pytest.param(["-i", "{path}", "bob"], "a\0b", 2, id="NUL in the password"),
        pytest.param(["-i", "{path}", "bob"], "x" * 1_025, 5, id="a long password"),
        pytest.param(["{path}", "bob"], "x", 2, id="no terminal to ask"),
        pytest.param(["-i", "{path}"], "x", 2, id="no user"),
        pytest.param(["-i", "{path}", "bob", "password"], "x", 2, id="a password without -b"),
        pytest.param(["-b", "{path}", "bob"], "x", 2, id="-b without a password"),
        pytest.param(["-nD", "{path}", "bob"], "x", 2, id="-n and -D"),
        pytest.param(["-i", "-C", "15", "{path}", "bob"], "x", 2, id="cost 15"),
        pytest.param(["-i", "-C", "3", "{path}", "bob"], "x", 2, id="cost 3"),
        pytest.param(["-im", "{path}", "bob"], "x", 2, id="MD5"),
        pytest.param(["-i", "{path}.none", "bob"], "x", 1, id="no file"),
        pytest.param(["-D", "{path}.none", "bob"], "x", 1, id="no file to remove from"),
        pytest.param(["-ic", "{path}/none", "bob"], "x", 1, id="no directory"),
        pytest.param(["-i", "/etc/hostname", "bob"], "x", 7, id="another file"),
    ],
)
def test_what_cannot_be_done_changes_nothing_and_says_why(
    path: Path, arguments: list[str], given: str, status: int
) -> None:
    before = path.read_bytes()
    done = htpasswd(*(argument.replace("{path}", str(path)) for argument in arguments), given=given)
    assert done.returncode == status, done.stderr
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr
    assert done.stderr
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["htpasswd"]


def test_minus_c_says_who_is_gone(path: Path) -> None:
    done = added(path, "bob", PASSWORD, "-c")
    assert b"without 1 users of the old one" in done.stderr
    assert htpasswd("-l", path).stdout == b"bob\n"


def test_a_password_of_more_than_72_bytes_gets_a_warning(path: Path) -> None:
    assert b"only the first 72 bytes" in added(path, "bob", "x" * 73).stderr
    assert b"only the first 72 bytes" not in added(path, "bob", "x" * 72).stderr


@pytest.mark.parametrize(("second", "status"), [("geheim", 0), ("gehiem", 3)])
def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(path: Path, second: str, status: int) -> None:
    terminal, its_side = pty.openpty()
    command = [sys.executable, "-m", "pyregistry", "htpasswd", *QUICK, str(path), "bob"]
    with subprocess.Popen(command, start_new_session=True, stdin=its_side, stdout=its_side, stderr=its_side) as child:
        os.close(its_side)
        shown = b""
        for prompt, answer in [(b"New password: ", "geheim"), (b"Re-type new password: ", second)]:
            while not shown.endswith(prompt):
                shown += os.read(terminal, 1000)
            os.write(terminal, f"{answer}\n".encode())
        try:
            while more := os.read(terminal, 1000):
                shown += more
        except OSError:  # the end of a terminal
            pass
    os.close(terminal)
    assert child.returncode == status, shown
    assert b"geheim" not in shown
    assert htpasswd("-vi", path, "bob", given="geheim").returncode == (0 if status == 0 else 6)


def test_the_image_s_entry_point_runs_it() -> None:
    entry_point = Path(__file__).parents[2] / "entrypoint.py"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [sys.executable, str(entry_point), "htpasswd", "-Bbn", *QUICK, "alice", "wonderland"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "PATH": path}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("alice:$2")


def test_a_hash_with_unused_bits_is_verified_as_the_registry_takes_it(tmp_path: Path) -> None:
    """Some programs set them."""
    path = tmp_path / "htpasswd"
    path.write_bytes(b"alice:" + with_unused_bits(make_hash(PASSWORD.encode(), 4)) + b"\n")
    assert htpasswd("-vi", path, "alice", given=PASSWORD).returncode == 0
    assert htpasswd("-vi", path, "alice", given="other").returncode == 3
