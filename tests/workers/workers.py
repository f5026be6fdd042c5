"""The processes of a registry, as /proc shows them."""

import os
from pathlib import Path

from tests.processes import Server


def workers_of(server: Server) -> list[int]:
    """The pids of the processes that serve: the children of the one that was started."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def beats_of(pid: int) -> int:
    """Return the number of a worker's heartbeats, from the piece of memory that its processes have for that."""
    [file] = [each for each in Path(f"/proc/{pid}/fd").iterdir() if "pyregistry-heartbeat" in str(each.readlink())]
    return int.from_bytes(file.read_bytes(), "little")


def peak_memory(pid: int) -> int:
    """The most memory that a process ever had, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) * 1024
    raise AssertionError(f"process {pid} has no VmHWM")


def seconds_of_bcrypt(server: Server) -> float:
    """Processor time of the workers' threads that are as nice as only those of bcrypt are."""
    nice, ticks = os.nice(0) + 10, 0
    for pid in workers_of(server):
        for task in Path(f"/proc/{pid}/task").iterdir():
            fields = task.joinpath("stat").read_text().rpartition(")")[2].split()
            if int(fields[16]) == nice:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
