"""The process that runs the workers."""

import subprocess
import sys

FORK = """
import os, signal
from pyregistry.server import hold_signals_across_fork

signal.signal(signal.SIGTERM, lambda *_: print("lost", flush=True))  # as the arbiter's, which a worker inherits
hold_signals_across_fork()
if os.fork() == 0:
    os.kill(os.getpid(), signal.SIGTERM)
    print("pending" if signal.SIGTERM in signal.sigpending() else "not pending", flush=True)
    os._exit(0)
os.wait()
print("blocked" if signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ()) else "not blocked")
"""


def test_signal_to_a_worker_that_does_not_listen_yet_waits_for_it_to_listen() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["pending", "not blocked"]
