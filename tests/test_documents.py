"""YAML of an operator: one document, of which the end may be marked."""

import pytest

from pyregistry.common.documents import DocumentInvalid, read_yaml

ONE = [
    "a: 1\n---\n",
    "a: 1\n---",
    "---\na: 1\n---\n# later\n",
    "a: 1\n...\n",
    "a: 1\n...\n---\n---\n...\n",
    "%YAML 1.2\n---\na: 1\n",
]
SEVERAL = {"a: 1\n---\nb: 2\n": 3, "---\n---\na: 1\n": 3, "a: 1\n---\n---\n- x\n": 4, "a: 1\n--- ''\n": 2}


@pytest.mark.parametrize("text", ONE)
def test_empty_documents_behind_the_first_are_passed_over(text: str) -> None:
    assert read_yaml(text) == {"a": 1}


@pytest.mark.parametrize(("text", "line"), SEVERAL.items())
def test_a_second_document_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(DocumentInvalid, match=f"a second document begins after ---, line {line}"):
        read_yaml(text)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "---\n---\n"])
def test_nothing_is_null(text: str) -> None:
    assert read_yaml(text) is None


@pytest.mark.parametrize("text", [f"a: 0x{'f' * 5_000}", f"0x{'f' * 5_000}: a", f"a: {'9' * 5_000}"])
def test_a_whole_number_that_cannot_be_written_out_is_refused(text: str) -> None:
    with pytest.raises(DocumentInvalid):
        read_yaml(text)
