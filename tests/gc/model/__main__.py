"""The command."""

import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO

from tests.gc.model.checking import check
from tests.gc.model.protocol import BROKEN, CHAIN, HOLDS, Protocol
from tests.gc.model.scenarios import SCENARIOS
from tests.gc.model.variants import VARIANTS


def run(number: int, trace: bool, only: list[str] | None = None) -> bool:
    """One variant over its scenarios, or some of them; True if all came out as expected."""
    name, change, expected, scenarios = VARIANTS[number]
    scenarios = only or scenarios
    protocol = replace(Protocol(), **change)
    worst, states, lines, good = dict.fromkeys("SLF", HOLDS), 0, [], True
    asked = dict(zip("SLF", expected))
    goal = [k for k, v in asked.items() if v] if all(v in (BROKEN, None) for v in expected) else []
    for title in scenarios:
        found, n, paths = check(protocol, SCENARIOS[title], goal, trace)
        states += n
        for k, v in found.items():
            worst[k] = max(worst[k], v, key=[HOLDS, CHAIN, BROKEN].index)
            if paths.get(k) and asked[k]:
                lines += [f'     {k} {v} in "{title}":'] + [f"        {x}" for x in paths[k]]
        if not change:  # the full protocol: the chain only where it can occur at all
            as_expected = found == {"S": HOLDS, "L": CHAIN if SCENARIOS[title].chain else HOLDS, "F": HOLDS}
            good &= as_expected
            lines.append(f"     {title:25} L={found['L']:6} {n:>9,}{'' if as_expected else '  UNEXPECTED'}")
        if goal and all(worst[k] == BROKEN for k in goal):
            break
    good &= all(v is None or worst[k] == v for k, v in asked.items())
    print(
        f"{number:2}  "
        + "  ".join(f"{k}={worst[k] if v else '-':6}" for k, v in asked.items())
        + f"{states:>11,}  {name}{'' if good else '  UNEXPECTED, should be ' + str(expected)}",
        *lines,
        sep="\n",
        flush=True,
    )
    return good


def told(number: int, trace: bool) -> tuple[bool, str]:
    """Run one, and what it prints."""
    with redirect_stdout(StringIO()) as text:
        good = run(number, trace)
    return good, text.getvalue()


def main() -> int:
    """As many side by side as there are processors, their lines in order."""
    verbose = "-v" in sys.argv[1:]
    numbers = [int(a) for a in sys.argv[1:] if a != "-v"] or range(len(VARIANTS))
    unexpected = False
    with ProcessPoolExecutor() as pool:
        for good, text in pool.map(partial(told, trace=verbose), numbers):
            print(text, end="", flush=True)
            unexpected |= not good
    return unexpected


if __name__ == "__main__":
    sys.exit(main())
