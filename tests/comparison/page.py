"""The tables of docs/stricter-than-cncf.md."""

from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs/stricter-than-cncf.md"


def rows_of(first_column: str) -> list[str]:
    """The rows of all tables whose first column has this name."""
    found: list[str] = []
    inside = False
    for line in _PAGE.read_text().splitlines():
        if line.startswith(f"| {first_column} |"):
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("|-"):
            found.append(line)
    assert found, first_column
    return found
