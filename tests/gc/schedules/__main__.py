"""`python -m tests.gc.schedules --count 20000 [--seed N] [--scenario NAME]`: a long run."""

import argparse
import sys
import time

from tests.gc.schedules.scenarios import SCENARIOS
from tests.gc.schedules.searching import search


def main() -> int:
    """Exit status 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.gc.schedules")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenario", choices=SCENARIOS, action="append")
    arguments = parser.parse_args()
    chosen = [SCENARIOS[name] for name in arguments.scenario or SCENARIOS]
    begin = time.monotonic()
    total = steps = 0
    for place, scenario in enumerate(chosen):
        share = arguments.count // len(chosen) + (place < arguments.count % len(chosen))
        outcome = search(scenario, share, arguments.seed)
        total, steps = total + outcome.schedules, steps + outcome.steps
        print(f"{outcome.schedules:6}  {outcome.steps:9} steps  {scenario.name}", flush=True)
        if outcome.failure is not None:
            print(outcome.failure)
            return 1
    print(f"{total} schedules, {steps} steps, {time.monotonic() - begin:.0f} s: no promise was broken")
    return 0


if __name__ == "__main__":
    sys.exit(main())
