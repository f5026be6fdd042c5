"""The log for people: one line for each entry, whatever text a client put into it."""

import json
import logging
from io import StringIO

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from pyregistry.service.log import configure_logging

ANY_TEXT = st.text(st.characters(exclude_categories=()))


def written(formatter: str, event: str, value: object) -> str:
    """Return the output of one entry of ours and one of a library."""
    stream = StringIO()
    configure_logging("info", formatter, {}, stream=stream)
    structlog.get_logger("ours").info("event", path=value, reason=event)
    logging.getLogger("a library").warning("%s", event)
    return stream.getvalue()


@given(ANY_TEXT, ANY_TEXT | st.lists(ANY_TEXT))
def test_an_entry_for_people_is_one_printable_line(event: str, value: object) -> None:
    lines = written("text", event, value).split("\n")
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("formatter", ["json", "logstash"])
@given(event=ANY_TEXT, value=ANY_TEXT)
def test_an_entry_in_json_is_one_printable_line(formatter: str, event: str, value: str) -> None:
    lines = written(formatter, event, value).split("\n")
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
    assert json.loads(lines[0])["path"] == value


def test_a_traceback_keeps_its_lines() -> None:
    stream = StringIO()
    configure_logging("info", "text", {}, stream=stream)
    try:
        raise ValueError("x")
    except ValueError as error:
        structlog.get_logger("ours").error("event", exc_info=error)
    assert len(stream.getvalue().split("\n")) > 3
