"""docs/decisions/README.md, the index of the decisions."""

import re

from tests.processes import SOURCE_TREE


def test_the_index_has_each_decision_with_its_title() -> None:
    *decisions, index = sorted((SOURCE_TREE / "docs/decisions").glob("*.md"))
    titles = [(page.read_text().splitlines()[0].removeprefix("# "), page.name) for page in decisions]
    assert re.findall(r"^- \[(.+)\]\((.+)\)$", index.read_text(), re.MULTILINE) == titles
