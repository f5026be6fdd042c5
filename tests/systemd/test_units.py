"""The units of config/systemd: systemd takes them, and runs them as they stand."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pyregistry.config.load import load
from pyregistry.service.effective_settings import DRAIN_SECONDS
from tests.engine.client import Client
from tests.processes import SOURCE_TREE, require
from tests.systemd.machine import UNITS, program, run_inside

__all__ = ["program"]

SERVICES = sorted(UNITS.glob("*.service"))
TIMERS = sorted(UNITS.glob("*.timer"))
PROGRAM = "/opt/pyregistry/bin/pyregistry"
EXPOSURE = {"pyregistry.service": 15, "pyregistry-gc.service": 8, "pyregistry-scrub.service": 8}
"""The most that `systemd-analyze security` may say, in tenths; without the sandbox it says 92."""
TRIAL = """
systemctl start pyregistry.service && echo started
sed -n 's/^Seccomp:[[:space:]]*/seccomp /p' /proc/$(systemctl show -P MainPID pyregistry)/status
stat -c 'owner %U %a' /var/lib/pyregistry
digest=sha256:$(printf content | sha256sum | cut -d' ' -f1)
curl -s -o /dev/null -w 'pushed %{http_code}\\n' -X POST -H 'Content-Type: application/octet-stream' -d content \
    "http://127.0.0.1:5000/v2/app/blobs/uploads/?digest=$digest"
curl -s "http://127.0.0.1:5000/v2/app/blobs/$digest"; echo ' pulled'
systemctl reload pyregistry.service && echo reloaded
echo 'version: 7' >> /etc/pyregistry/config.yml
systemctl reload pyregistry.service || echo 'reload refused'
curl -s -o /dev/null -w 'still %{http_code}\\n' http://127.0.0.1:5000/v2/
sed -i '$d' /etc/pyregistry/config.yml
systemctl start pyregistry-gc.service && echo collected
systemctl start pyregistry-scrub.service && echo scrubbed
systemctl start pyregistry-gc.timer pyregistry-scrub.timer && echo timers
kill -KILL $(systemctl show -P MainPID pyregistry)
until [ $(systemctl show -P NRestarts pyregistry) = 1 ]; do sleep 1; done
until curl -s -o /dev/null http://127.0.0.1:5000/v2/; do sleep 1; done
echo restarted
systemctl stop pyregistry.service; echo "stopped $(systemctl show -P Result pyregistry)"
"""


def values(unit: Path, key: str) -> list[str]:
    """Every value of a key, in order."""
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


def sandbox(unit: Path) -> Sequence[str]:
    """The lines that keep a service in, without those about networks, of which only the server has one."""
    lines = unit.read_text().partition("CapabilityBoundingSet=")[2].splitlines()
    own = ("RestrictAddressFamilies", "PrivateNetwork", "IPAddressDeny", "[", "WantedBy")
    return [line for line in lines if line and not line.startswith(own)]


@pytest.mark.parametrize("unit", [*SERVICES, *TIMERS], ids=lambda unit: unit.name)
def test_systemd_takes_every_line(unit: Path, tmp_path: Path) -> None:
    for each in (*SERVICES, *TIMERS):
        program = Path(sys.executable).parent / "pyregistry"
        (tmp_path / each.name).write_text(each.read_text().replace(PROGRAM, str(program)))
    analyze = Client("sh", "-c", '"$@" 2>&1', "sh", require("systemd-analyze", "systemd"))
    assert analyze.run("verify", "--man=no", tmp_path / unit.name) == ""


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_service_is_exposed_little(unit: Path) -> None:
    analyze = Client(require("systemd-analyze", "systemd"), "--no-pager", "security", "--offline=true")
    analyze.run(f"--threshold={EXPOSURE[unit.name]}", unit)


def test_all_services_have_the_same_sandbox_and_user() -> None:
    assert sandbox(SERVICES[0])
    assert {tuple(sandbox(unit)) for unit in SERVICES} == {tuple(sandbox(SERVICES[0]))}
    for key in ("User", "Group", "UMask", "StateDirectory", "StateDirectoryMode"):
        assert len({tuple(values(unit, key)) for unit in SERVICES}) == 1, key
    assert values(SERVICES[0], "User")[0] in (UNITS / "sysusers.conf").read_text().split()


def test_a_stop_is_not_cut_short() -> None:
    assert int(values(UNITS / "pyregistry.service", "TimeoutStopSec")[0].removesuffix("s")) > DRAIN_SECONDS


def test_config_has_the_data_where_the_unit_makes_the_directory() -> None:
    config, warnings = load(UNITS / "config.yml", {})
    assert warnings == []
    assert config.storage.filesystem is not None
    [state] = values(UNITS / "pyregistry.service", "StateDirectory")
    assert config.storage.filesystem.root_directory == f"/var/lib/{state}"


def test_page_names_every_file() -> None:
    page = (SOURCE_TREE / "docs/systemd.md").read_text()
    assert [file.name for file in UNITS.iterdir() if file.name not in page] == []


@pytest.mark.timeout(900)
def test_units_run_under_a_real_systemd(program: Path) -> None:
    require("curl", "curl")
    said, logged = run_inside(program, TRIAL)
    expected = ["started", "seccomp 2", "owner pyregistry 750", "pushed 201", "content pulled", "reloaded"]
    expected += ["reload refused", "still 200", "collected", "scrubbed", "timers", "restarted", "stopped success"]
    assert [line for line in said.splitlines() if line in expected] == expected, f"{said}\n{logged}"
