"""docs/operations.md lists every kind of finding."""

import os
from pathlib import Path

from pyregistry.fsck.findings import KINDS

PAGE = Path(__file__).parents[2] / "docs/operations.md"
BEGIN, END = "<!-- kinds -->\n", "<!-- /kinds -->"


def test_the_table_of_kinds_is_the_one_in_the_code() -> None:
    """PYREGISTRY_WRITE_DOCS=1 writes it."""
    before, rest = PAGE.read_text().split(BEGIN)
    table, after = rest.split(END)
    rows = "".join(
        f"| `{kind}` | {row.weight} | {row.meaning} | {row.repair or '-'} |\n"
        for kind, row in sorted(
            KINDS.items(), key=lambda item: ("damage", "unchecked", "leftover").index(item[1].weight)
        )
    )
    written = f"| kind | | | `--repair` |\n|---|---|---|---|\n{rows}"
    if os.environ.get("PYREGISTRY_WRITE_DOCS") == "1":
        PAGE.write_text(f"{before}{BEGIN}{written}{END}{after}")
        return
    assert table == written
