"""A systemd that is process 1 of namespaces of its own, with the units of config/systemd and no others."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.client import Client
from tests.processes import SOURCE_TREE, missing, require, require_root

UNITS = SOURCE_TREE / "config/systemd"
BOOT = r"""
set -eu
mount --make-rprivate /
mount -t proc proc /proc
for place in /run /var/lib /opt; do mount -t tmpfs tmpfs $place; done
umount -l /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/systemd/system /run/etc /opt/pyregistry
mount --bind "$1/program" /opt/pyregistry
mount -t tmpfs tmpfs /run/etc; mkdir /run/etc/upper /run/etc/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work /etc
cp -r "$1/units/." /run/systemd/system/
install -D -m 0644 "$1/config.yml" /etc/pyregistry/config.yml
systemd-sysusers "$1/sysusers.conf"
for name in sysinit basic shutdown network-online timers multi-user umount final; do
    printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' $name > /run/systemd/system/$name.target
done
ip link set lo up
mount --bind "$1/console" /dev/console
export container=lxc SYSTEMD_UNIT_PATH=/run/systemd/system
exec "$2" --system --unit=multi-user.target --log-target=console --show-status=no
"""
"""The mounts hide the machine's own files and all of its units; what is written stays in memory."""
TRIAL = """[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
TimeoutStartSec=120
StandardOutput=append:{output}
StandardError=append:{output}
ExecStart=/bin/sh {script}
ExecStopPost=/usr/bin/systemctl exit --force
"""
DEADLINE_SECONDS = 180


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of the system's Python, as /opt/pyregistry will be: an interpreter in a home would be hidden."""
    directory = tmp_path_factory.mktemp("opt") / "program"
    source = directory.parent / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(SOURCE_TREE / name, source)
    shutil.copytree(SOURCE_TREE / "pyregistry", source / "pyregistry", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([require("/usr/bin/python3", "python3"), "-m", "venv", directory], check=True)
    Client(directory / "bin/pip").run("install", "--quiet", source, deadline=600)
    script = directory / "bin/pyregistry"
    lines = script.read_text().splitlines(keepends=True)
    script.write_text("".join(["#!/opt/pyregistry/bin/python3\n", *lines[1:]]))
    return directory


def run_inside(program: Path, script: str) -> tuple[str, str]:
    """Boot, run the script as root, shut down; return what it wrote, and what the registry's units wrote."""
    require_root()
    require("systemd-sysusers", "systemd")
    systemd = require("/lib/systemd/systemd", "systemd")
    # Where every user may look: the service's user reads its config, and writes its output.
    with tempfile.TemporaryDirectory(prefix="pyregistry-systemd-") as name, _cgroup() as procs:
        directory = Path(name)
        directory.chmod(0o755)
        _lay_out(directory, program, script)
        namespaces = ["--mount", "--pid", "--fork", "--cgroup", "--ipc", "--uts", "--net", "--kill-child"]
        boot = ["sh", "-c", f'echo $$ > {procs}; exec "$@"', "sh", "unshare", *namespaces]
        with (directory / "boot.log").open("wb") as log:
            command = [*boot, "bash", "-c", BOOT, "bash", str(directory), systemd]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                process.wait(DEADLINE_SECONDS)
            finally:
                process.kill()  # `unshare --kill-child` takes process 1 of the namespace along
                process.wait()
        if not (directory / "output").exists():
            missing(f"systemd does not start here: {(directory / 'boot.log').read_text()[-500:]}")
        written, logged = ((directory / name).read_text(errors="replace") for name in ("output", "units.log"))
        return written, logged


def _lay_out(directory: Path, program: Path, script: str) -> None:
    """Write what the machine needs."""
    output, log, units = directory / "output", directory / "units.log", directory / "units"
    units.mkdir()
    log.touch()
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.timer")):
        shutil.copy(unit, units)
        if unit.suffix == ".service":
            drop_ins = units / f"{unit.name}.d"
            drop_ins.mkdir()
            (drop_ins / "output.conf").write_text(
                f"[Service]\nStandardOutput=append:{log}\nStandardError=append:{log}\n"
            )
    (directory / "script").write_text(script)
    (units / "trial.service").write_text(TRIAL.format(output=output, script=directory / "script"))
    wants = units / "multi-user.target.wants"
    wants.mkdir()
    (wants / "trial.service").symlink_to("../trial.service")
    for name in ("config.yml", "sysusers.conf"):
        shutil.copy(UNITS / name, directory)
    (directory / "console").touch()
    (directory / "program").mkdir()
    shutil.copytree(program, directory / "program", symlinks=True, dirs_exist_ok=True)


@contextlib.contextmanager
def _cgroup() -> Iterator[Path]:
    """Make a group of cgroup2 for the machine; yield the file that takes processes."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    mounted = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
    if mounted is None:
        missing("no cgroup2 (mount -t cgroup2 cgroup2 /sys/fs/cgroup) is mounted")
    group = Path(tempfile.mkdtemp(prefix="pyregistry-systemd-", dir=mounted))
    try:
        yield group / "cgroup.procs"
    finally:
        for below, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(below).rmdir()
