"""The processes of a registry, as /proc shows them."""

from pathlib import Path

from tests.processes import Server


def workers_of(server: Server) -> list[int]:
    """The pids of the processes that serve: the children of the one that was started."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def peak_memory(pid: int) -> int:
    """The most memory that a process ever had, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) * 1024
    raise AssertionError(f"process {pid} has no VmHWM")
