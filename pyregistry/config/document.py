"""YAML as it comes from a file or a variable, with bounds on what a few of its lines can stand for."""

import yaml

from pyregistry.config.errors import ConfigError

MAX_VALUES = 100_000
"""Far more than a config has; a few lines of nested anchors stand for billions."""


def read_yaml(text: str) -> object:
    """The document. Raises ConfigError."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - it is a SafeLoader
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"not YAML: {_say(error)}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: 2001-99-99 looks like a date
        raise ConfigError(f"not YAML: {error}") from error
    except RecursionError as error:
        raise ConfigError("not usable YAML: the nesting is too deep") from error


def _say(error: yaml.MarkedYAMLError) -> str:
    """What is wrong and where, without the lines around it: one of them may hold a password."""
    what = ", ".join(part for part in (error.context, error.problem) if part)
    mark = error.problem_mark or error.context_mark
    return f"{what}, line {mark.line + 1}, column {mark.column + 1}" if mark else what


class _Loader(yaml.SafeLoader):
    """Looks at the nodes, in which an anchor stands once, before they are made into values."""

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _count(node, {})
        return node


def _count(node: yaml.Node, counted: dict[int, int]) -> int:
    """How many values a node stands for; `counted` is what is known of others, 0 while one is looked at."""
    known = counted.get(id(node))
    if known == 0:
        raise ConfigError(f"not usable YAML: an anchor contains itself, line {node.start_mark.line + 1}")
    if known is not None:
        return known
    counted[id(node)] = 0
    total = 1 + sum(_count(member, counted) for member in _members(node))
    if total > MAX_VALUES:
        raise ConfigError(f"not usable YAML: its anchors stand for more than {MAX_VALUES} values")
    counted[id(node)] = total
    return total


def _members(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
