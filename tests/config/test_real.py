"""Configs as they are in use, with their surroundings: each starts, with exactly the expected warnings."""

import pytest

from tests.config.recipes import EXPECTED, FILES, Place, read, warnings_in
from tests.config.starting import Start


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recipe_starts_and_answers_with_exactly_these_warnings(place: Place, name: str) -> None:
    expected = EXPECTED[name]
    config, environment, address = place.put(read(name))
    with Start(config, environment) as start:
        start.wait_until_it(address.listens)
        status = address.get(expected.get("path", "/v2/"), tls=expected.get("tls", False))
    output = start.output()
    assert list(warnings_in(output)) == expected.get("warnings", [])
    assert status == expected.get("status", 200), output
    assert "Traceback" not in output
    assert start.stop() == 0, output


def test_there_is_an_expectation_for_every_file_and_a_file_for_every_expectation() -> None:
    assert {row.get("file", name) for name, row in EXPECTED.items()} == set(FILES)
    assert len(EXPECTED) >= 40
