"""The mechanical rules of our English, which `make check` holds; CONTRIBUTING has all of them and the glossary.

`python -m tests.words [PATH...]` prints each sentence that breaks one. It reads docstrings, comments and messages of
the code, and the text of the documents, without their code and tables.
"""

import ast
import inspect
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MOST_WORDS = 20
SKIPPED = ("CHANGELOG.md", "LICENSE", "docs/performance/", "tests/words.py", "tests/test_words.py")
"""A record of the past, the text of others, results, and these rules themselves."""

FIRST_WORDS = re.compile(r"(?:What|Who|Whoever|Whose|Whether|How|Where|When|Why|Which|One that|That which)\b")
"""A docstring begins with a verb or with the name of the thing."""
SEE = re.compile(r"See \S+(?:\.\S+)?[.:]?(?:\s|$)")
"""A method that adds nothing to its protocol's docstring has `@override` instead."""
BANNED = re.compile(
    r"\b(?:nobody|somebody|whoever|whosoever|anybody|everybody|of no use|by now|any more|beside|besides"
    r"|(?-i:is none|are none)|goes? on|went on|going on|is told|are told|is said|are said|comes to|came to|stands)\b",
    re.IGNORECASE,
)
"""Words that have a plainer one; the table in CONTRIBUTING has it."""

_SENTENCE = re.compile(r"(?<=[.:;!?])[\"')\]]*\s+|\n\s*\n|\n(?=\s*(?:[-*]|\d+\.)\s)")
_CODE_SPAN = re.compile(r"``?[^`]*``?")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_DIRECTIVE = re.compile(r"#\s*(?:noqa|type:|mutant:|pragma|!|nosec|mypy:|ruff:)")


class Text(NamedTuple):
    """One docstring, comment, message or paragraph."""

    line: int
    words: str
    is_docstring: bool


def texts_of_python(source: str) -> Iterator[Text]:
    """Return docstrings without their indented trees, also those below an attribute, comments, and other strings."""
    tree = ast.parse(source)
    docstrings = set()
    for node in ast.walk(tree):
        for statement in getattr(node, "body", ()) if isinstance(getattr(node, "body", None), list) else ():
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                text = statement.value.value
                if isinstance(text, str):
                    docstrings.add(id(statement.value))
                    lines = [line for line in inspect.cleandoc(text).splitlines() if not line.startswith("    ")]
                    yield Text(statement.lineno, "\n".join(lines), is_docstring=True)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield Text(node.lineno, node.value, is_docstring=False)
    yield from _comments(source)


def _comments(source: str) -> Iterator[Text]:
    """Return each comment; lines that follow one another are one text."""
    lines: list[tuple[int, str, bool]] = []
    for token in tokenize.generate_tokens(iter(source.splitlines(keepends=True)).__next__):
        if token.type == tokenize.COMMENT and not _DIRECTIVE.match(token.string):
            is_alone = not token.line[: token.start[1]].strip()
            lines.append((token.start[0], token.string.lstrip("#: "), is_alone))
    begun: list[str] = []
    first = last = 0
    for number, words, is_alone in lines:
        if begun and is_alone and number == last + 1:
            begun.append(words)
        else:
            if begun:
                yield Text(first, " ".join(begun), is_docstring=False)
            begun, first = [words], number
        last = number if is_alone else 0
    if begun:
        yield Text(first, " ".join(begun), is_docstring=False)


def texts_of_markdown(source: str) -> Iterator[Text]:
    """Return the paragraphs, list items and headings; neither code, nor tables, nor HTML."""
    begun: list[str] = []
    first = 0
    is_code = False
    for number, line in enumerate([*source.splitlines(), ""], 1):
        if line.lstrip().startswith(("```", "~~~")):
            is_code = not is_code
        is_break = is_code or not line.strip() or line.lstrip().startswith(("|", "```", "~~~", "<", "#"))
        begins = bool(re.match(r"\s*(?:[-*]|\d+\.)\s", line))
        if begun and (is_break or begins):
            yield Text(first, " ".join(begun), is_docstring=False)
            begun = []
        if not is_break:
            if not begun:
                first = number
            begun.append(line.strip())


def faults(text: Text, *, prose: bool) -> Iterator[str]:
    """Return what is wrong with a text; with `prose` also sentences that are too long."""
    words = _CODE_SPAN.sub("CODE", _LINK.sub(r"\1", text.words))
    if text.is_docstring and FIRST_WORDS.match(words.lstrip()):
        yield f"begins with {words.split()[0]!r}: begin with a verb or the name of the thing"
    if text.is_docstring and SEE.match(words):
        yield "says only where to look: use @override"
    for found in BANNED.finditer(words):
        yield f"{found.group().lower()!r} has a plainer word"
    if prose:
        for sentence in _SENTENCE.split(words):
            count = sum(any(character.isalnum() for character in word) for word in sentence.split())
            if count > MOST_WORDS:
                yield f"{count} words in one sentence: {sentence.strip()[:60]}..."


def check(path: Path) -> list[str]:
    """Return a line for each fault of a file."""
    source = path.read_text()
    name = path.relative_to(ROOT).as_posix()
    is_test = name.startswith("tests/")
    texts = texts_of_python(source) if path.suffix == ".py" else texts_of_markdown(source)
    return [
        f"{name}:{text.line}: {fault}"
        for text in texts
        if not is_test or text.is_docstring
        for fault in faults(text, prose=not is_test)
    ]


def tracked() -> list[Path]:
    """Return the Python files and documents of the project."""
    output = subprocess.run(["git", "ls-files", "*.py", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [
        ROOT / name for name in output.stdout.splitlines() if not name.startswith(SKIPPED) and (ROOT / name).exists()
    ]


def main(arguments: list[str]) -> int:
    """Check the paths, or all files; 1 if there is a fault."""
    wanted = [Path(each).resolve() for each in arguments]
    paths = [each for each in tracked() if not wanted or any(each == one or one in each.parents for one in wanted)]
    found = [line for path in paths for line in check(path)]
    sys.stdout.write("\n".join(found or [f"{len(paths)} files keep the rules"]) + "\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
