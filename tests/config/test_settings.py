"""docs/settings.md, which is made of the structs of the config."""

import pytest

from pyregistry.config.environment import apply_environment
from pyregistry.config.errors import Notes
from pyregistry.config.extensions import Limits
from tests.settings import PAGE, Setting, main, not_carried_out, settings

ALL = list(settings())
WITH_VARIABLE = [setting for setting in ALL if setting.variable]


def test_the_page_agrees_with_the_source() -> None:
    assert main([]) == 0, "make settings"


def test_the_page_has_every_limit_with_its_unit_and_default() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `pyregistry.limits.")]
    assert len(rows) == len(Limits.__struct_fields__)
    for row in rows:
        _, key, _, _, default, unit, meaning, origin, _ = (cell.strip() for cell in row.split("|"))
        name = key.strip("`").rpartition(".")[2].replace("-", "_")
        assert float(default.strip("`")) == getattr(Limits(), name)
        assert unit
        assert meaning
        assert origin == "ours"


@pytest.mark.parametrize("setting", WITH_VARIABLE, ids=[setting.key for setting in WITH_VARIABLE])
def test_the_variable_of_the_page_sets_the_key(setting: Setting) -> None:
    notes = Notes()
    value: object = apply_environment({}, {setting.variable: "[a]"}, notes)
    assert notes == Notes()
    for part in setting.key.replace("[]", ".0").split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]  # type: ignore[index] # a map
    assert value == ["a"]


def test_no_key_is_in_both_parts_of_the_page() -> None:
    others = [key for key, _ in not_carried_out()]
    assert len(set(others)) == len(others)
    assert not {setting.key for setting in ALL} & set(others)
    assert "http.h2c.enabled" in others
