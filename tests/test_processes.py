"""Processes as /proc shows them, where it has less than usual."""

import os
import signal
import subprocess
import sys

from pyregistry.observe.processes import _children, _children_by_parent, cpu_seconds, service_processes

_PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("ready", flush=True)
time.sleep(60)
"""


def test_children_are_found_by_their_parent_where_the_kernel_lists_none() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, start_new_session=True) as parent:
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == b"ready\n"
            assert list(_children_by_parent(parent.pid)) == _children(parent.pid) != []
            assert [each.pid for each in service_processes(parent.pid)] == [parent.pid, *_children(parent.pid)]
        finally:
            os.killpg(parent.pid, signal.SIGKILL)


def test_another_program_below_the_master_is_no_worker_but_its_time_counts() -> None:
    begin = cpu_seconds(os.getpid())
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            assert child.pid in _children(os.getpid())
            assert child.pid not in [each.pid for each in service_processes(os.getpid())]
        finally:
            child.kill()
    subprocess.run([sys.executable, "-c", "sum(range(20_000_000))"], check=True)
    assert cpu_seconds(os.getpid()) > begin + 0.1
