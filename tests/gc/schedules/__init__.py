"""Real writers and the real collector, interleaved call by call: `python -m tests.gc.schedules`."""
