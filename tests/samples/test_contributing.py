"""CONTRIBUTING: a plainer word for each banned one, and each target of the Makefile that it names."""

import re

from tests.processes import SOURCE_TREE
from tests.words import BANNED

PAGE = (SOURCE_TREE / "CONTRIBUTING.md").read_text()


def test_each_banned_word_has_a_plainer_one() -> None:
    table = PAGE.partition("### Plainer words")[2].partition("### Glossary")[0]
    listed = {word.strip() for row in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)[1:] for word in row.split(",")}
    assert [word for word in listed if not BANNED.fullmatch(word)] == []
    banned = re.sub(r"\(\?[-a-z]*:|\)|\\b", "", BANNED.pattern).split("|")
    assert "nobody" in banned
    assert [word for word in banned if not any(re.fullmatch(word, one) for one in listed)] == []


def test_targets_are_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (SOURCE_TREE / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", PAGE, re.MULTILINE))
    assert len(named) > 10
    assert named - targets == set()
