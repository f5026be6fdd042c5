"""Durations, written as Go does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyregistry.config.errors import ConfigError
from pyregistry.config.load import parse
from pyregistry.config.values import Duration

SECONDS = {
    "10s": 10,
    "1h30m": 5_400,
    "500ms": 0.5,
    "168h": 604_800,
    "1.5h": 5_400,
    ".5s": 0.5,
    "1.s": 1,
    "1h1m1s1ms": 3_661.001,
    "30m1h": 5_400,
    "250us": 0.00025,
    "250\u00b5s": 0.00025,
    "250\u03bcs": 0.00025,
    "7ns": 7e-9,
    "0": 0,
    "0s": 0,
    0: 0,
    1_000_000_000: 1,
}
REFUSED = [
    "",
    "s",
    "10",
    "1.5",
    "10 s",
    " 10s",
    "10s\n",
    "1d",
    "1h30",
    "ten",
    "1e3s",
    "\u0661s",
    "1H",
    ".s",
    "--1s",
    "9" * 64 + "s",
]
REFUSED_VALUES: list[object] = [None, True, 1.5, [], {}, 10**400, -(2**63)]


@pytest.mark.parametrize(("text", "seconds"), SECONDS.items(), ids=map(repr, SECONDS))
def test_a_duration_is_so_many_seconds(text: object, seconds: float) -> None:
    assert Duration.parse(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize("value", [*REFUSED, *REFUSED_VALUES], ids=lambda value: repr(value)[:20])
def test_it_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        Duration.parse(value)


def test_a_value_that_is_no_duration_is_refused_with_its_key() -> None:
    with pytest.raises(ConfigError, match=r"http\.draintimeout"):
        parse("version: 0.1\nstorage: inmemory\nhttp: {draintimeout: soon}", {})


@given(st.lists(st.tuples(st.integers(0, 9_999), st.sampled_from(["h", "m", "s", "ms"])), min_size=1, max_size=6))
def test_the_parts_of_a_duration_add_up(parts: list[tuple[int, str]]) -> None:
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert Duration.parse(text) == pytest.approx(sum(number * units[unit] for number, unit in parts))


@given(st.one_of(st.text(alphabet="0159.hmsnu\u00b5 -+e", max_size=70), st.text(max_size=8), st.integers()))
def test_whatever_is_written_it_is_a_duration_or_refused(value: str | int) -> None:
    try:
        duration = Duration.parse(value)
    except ValueError:
        return
    assert isinstance(value, int) or duration >= 0
