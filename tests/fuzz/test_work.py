"""The work for an input grows with its size and no faster, whatever is repeated in it.

Work is counted in lines of Python that run, anywhere, and in this thread's processor time for what C does. Four times
as much input may be eight times the work; what is quadratic is sixteen times.
"""

import logging
import re
import sys
from collections.abc import Callable, Iterator
from time import thread_time
from types import FrameType
from typing import Any

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from pyregistry.api.transport.heads import Heads
from tests.fuzz.targets import TARGETS
from tests.fuzz.test_corpus import kept

SIZES = 2_000, 8_000
"""Bytes."""
YAML_SIZES = 400, 1_600
"""Bytes of YAML, whose reader is written in Python."""
YAML = {"config", "environment", "policy"}
FEW_LINES = 4_000
"""Lines, below which growth says nothing: something is made for the first time, or the short input is refused sooner.

PyJWT runs three lines for each byte of a token whose parts are well formed.
"""
LITTLE_TIME = 0.004
"""Seconds, likewise."""

UNITS: dict[str, list[tuple[bytes, bytes, bytes]]] = {
    "head": [
        (b"\0GET / HTTP/1.1\r\n", b"A: b\r\n", b"\r\n"),
        (b"\x01GET / HTTP/1.1\r\nA: ", b"b", b"\r\n\r\n"),
        (b"\x01GET /", b"a", b" HTTP/1.1\r\n\r\n"),
        (b"\x01", b"\r\n", b""),
        (b"\x01", b"GET / HTTP/1.1\r\n\r\n", b""),
        (b"\0", b"GET / HTTP/1.1\r\n\r\n", b""),
        (b"\x01GET / HTTP/1.1\r\n", b"A:\n", b""),
    ],
    "framing": [
        (b"\x01\0", b"1\r\na\r\n", b"0\r\n\r\n"),
        (b"\0\0", b"1;a=b\r\na\r\n", b""),
        (b"\x01\0001;", b"a", b""),
    ],
    "ranges": [(b"\xffbytes=", b"0-0,", b"1-1\n"), (b"\x01bytes=", b"1", b"\n"), (b"\x01x=\n", b"0-", b"")],
    "paging": [(b"n=1", b"&n=1", b""), (b"n=", b"1", b""), (b"n=1&last=", b"%41", b"")],
    "forwarded": [
        (b"Forwarded: ", b"for=1.2.3.4;proto=https, ", b"\n"),
        (b"Forwarded: ", b'for="', b"\n"),
        (b"Forwarded: ", b";", b"\n"),
        (b"", b"Forwarded: for=1.2.3.4;proto=https\n", b""),
        (b"X-Forwarded-For: ", b"1.2.3.4, ", b"\n"),
        (b"X-Forwarded-Host: ", b"a.", b"\n"),
    ],
    "manifest": [
        (b'\n{"x":', b"[", b""),
        (b'\n{"x":[', b"[],", b"0]}"),
        (b'\n{"x":"', b'\\"', b'"}'),
        (b'\n{"x":"', b"\\", b'"}'),
        (b'\n{"x":', b"9", b"}"),
        (b'\n{"x":1', b",", b"}"),
        (b'\n{"schemaVersion":2,"layers":[', b'{"digest":"sha256:0","size":0},', b"{}]}"),
    ],
    "stored": [(b"sha256:", b"0", b""), (b"", b"sha256:" + b"0" * 64, b""), (b'{"digest":"', b',"annotations":', b"")],
    "token": [
        (b"\0", b"a.", b""),
        (b"\0eyJ.", b"A", b".A"),
        (b'\x01{"access":', b"[", b""),
        (b'\x01{"access":[', b'{"type":"repository","name":"a","actions":["pull"]},', b"{}]}"),
    ],
    "scopes": [(b"", b"repository:a:pull ", b""), (b"repository:", b"a/", b":pull"), (b"repository:a:", b"pull,", b"")],
    "names": [(b"", b"a/", b""), (b"", b"a-", b""), (b"", b"a__", b"!"), (b"", b"a", b"\n"), (b"sha256:", b"0", b"")],
    "config": [
        (b"\0a: ", b"[", b""),
        (b"\0a: ", b"&a ", b""),
        (b"\0", b"a:\n", b""),
        (b"\0a: '", b"a ", b"'"),
        (b"\0", b"a: &a [*a, *a]\n", b""),
        (b"\0version: 0.1\nstorage: inmemory\nlog: {fields: {", b"a: b, ", b"}}"),
        (b"\0", b"1h", b""),
    ],
    "environment": [
        (b"LOG_FIELDS_A=[", b"a, ", b"]"),
        (b"", b"LOG_FIELDS_A=b\n", b""),
        (b"A", b"_A", b"=b"),
        (b"HTTP_HEADERS_A", b"_0", b"=a"),
    ],
    "htpasswd": [(b"", b"a:b\n", b""), (b"", b"a", b""), (b"a:$2y$05$", b"a", b""), (b"", b" ", b"a:b")],
    "policy": [
        (b"a/b\n", b"- {repositories: a, who: b, actions: pull}\n", b""),
        (b"a/a/a/a/a/b\n- {repositories: '", b"**/", b"b', who: everyone, actions: pull}"),
        (b"a/aaaaaaaaaa\n- {repositories: 'a/", b"*a", b"b', who: everyone, actions: pull}"),
    ],
    "expression": [
        (b"(a*)*b\n", b"a", b""),
        (b"^https?://([^/]+\\.)*x\nhttps://", b"a.", b""),
        (b"", b"(a|b)*", b"\nab"),
    ],
}
"""For each target what is written once, what is repeated, and what comes at the end."""
CASES = [(target, case) for target, cases in UNITS.items() for case in cases]


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def test_every_target_has_something_to_repeat() -> None:
    assert UNITS.keys() == TARGETS.keys()


@pytest.mark.parametrize(("target", "case"), CASES, ids=[f"{target} {case[1]!r}" for target, case in CASES])
def test_the_work_grows_with_the_size(target: str, case: tuple[bytes, bytes, bytes]) -> None:
    _check(target, *case)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_the_work_grows_with_the_size_of_whatever_is_repeated(target: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(kept(target)))
    begin = data.draw(st.integers(0, max(len(seed) - 1, 0)))
    end = data.draw(st.integers(begin + 1, begin + 40))
    _check(target, seed[:begin], seed[begin:end] or b"a", seed[end:])


def test_heads_in_one_packet_are_not_copied_for_each_that_comes_before() -> None:
    def take(data: bytes) -> None:
        at, heads = 0, Heads()
        while at < len(data):
            _, at = heads.take(data, at)
            heads.end()

    short, long = (_seconds(take, b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n" * number) for number in (8_000, 32_000))
    assert long <= 8 * max(short, LITTLE_TIME)


def _check(target: str, begin: bytes, unit: bytes, end: bytes) -> None:
    short, long = (begin + unit * (size // len(unit) + 1) + end for size in (YAML_SIZES if target in YAML else SIZES))
    TARGETS[target](short)  # what is imported at the first call
    assert _lines(TARGETS[target], long) <= 8 * max(_lines(TARGETS[target], short), FEW_LINES)
    assert _seconds(TARGETS[target], long) <= 12 * max(_seconds(TARGETS[target], short), LITTLE_TIME)


def _lines(target: Callable[[bytes], None], content: bytes) -> int:
    count = 0

    def trace(_: FrameType, event: str, __: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    _forget()
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        target(content)
    finally:
        sys.settrace(before)
    return count


def _seconds(target: Callable[[bytes], None], content: bytes) -> float:
    """The least of three."""
    least = float("inf")
    for _ in range(3):
        _forget()
        begin = thread_time()
        target(content)
        least = min(least, thread_time() - begin)
    return least


def _forget() -> None:
    """Empty what would make the second call for the same pattern cheaper than the first."""
    re.purge()
    re2.purge()
