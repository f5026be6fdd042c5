"""Errors of rules are in the words of msgspec, of which the place of a fault is taken: the same in all its versions."""

import pytest

from pyregistry.auth.policy import Policy, PolicyInvalid

_RULE = {"repositories": "a", "who": "b", "actions": ["pull"]}
_FILE = "not a list of rules, or a map of access and groups: "


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("word", "[0]: Expected `object`, got `str`"),
        ({"who": "b"}, "[0]: Object missing required field `repositories`"),
        ({**_RULE, "more": 1}, "[0]: Object contains unknown field `more`"),
        ({**_RULE, "who": 5}, "[0].who: Expected `str | array`, got `int`"),
        ({**_RULE, "who": ["a", 5]}, "[0].who[1]: Expected `str`, got `int`"),
        ({**_RULE, "actions": {"a": 1}}, "[0].actions: Expected `str | array`, got `object`"),
        ({**_RULE, "repositories": [["x"]]}, "[0].repositories[0]: Expected `str`, got `array`"),
    ],
)
def test_a_fault_of_a_rule_is_named_with_its_place(rule: object, text: str) -> None:
    with pytest.raises(PolicyInvalid) as caught:
        Policy.parse([rule], {})
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"5", f"{_FILE}Expected `object`, got `int`"),
        (b"{}", f"{_FILE}Object missing required field `access`"),
        (b'{"access": 5}', f"{_FILE}Expected `array`, got `int` - at `$.access`"),
        (b'{"access": [], "other": 1}', f"{_FILE}Object contains unknown field `other`"),
    ],
)
def test_a_fault_of_a_file_of_rules_is_named(content: bytes, text: str) -> None:
    with pytest.raises(PolicyInvalid) as caught:
        Policy.parse_file(content)
    assert str(caught.value) == text
