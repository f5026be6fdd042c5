"""Reads YAML of files and variables, with limits on the values that anchors can multiply."""

import yaml

MAX_VALUES = 100_000
"""Far more than a config has; a few lines of nested anchors expand to billions."""
MAX_LEVELS = 100
"""Far deeper than a config. PyYAML's time grows with the square of the levels."""
MAX_BITS = 4_096
"""Bits of a whole number: Python cannot write out much longer ones."""
_SHOWN = 60
"""Characters of a key."""
_MERGE = "tag:yaml.org,2002:merge"


class DocumentInvalid(Exception):
    """The text is not usable YAML; the message quotes no value, which may be a password."""


def read_yaml(text: str | bytes) -> object:
    """Return the document; raise DocumentInvalid, also for a duplicate key."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - it is a SafeLoader
    except yaml.MarkedYAMLError as error:
        raise DocumentInvalid(f"not YAML: {_say(error)}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: 2001-99-99 looks like a date
        raise DocumentInvalid(f"not YAML: {error}") from error
    except RecursionError as error:
        raise DocumentInvalid("not usable YAML: the nesting is too deep") from error


def _say(error: yaml.MarkedYAMLError) -> str:
    """Return the fault and its position, without the lines around it, which may hold a password."""
    what = ", ".join(part for part in (error.context, error.problem) if part)
    mark = error.problem_mark or error.context_mark
    return f"{what}, line {mark.line + 1}, column {mark.column + 1}" if mark else what


class _Loader(yaml.SafeLoader):
    """Checks the nodes before they become values: a node exists once, however many aliases it has."""

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        self._require_level(self.flow_level)
        super().fetch_flow_collection_start(token)

    def add_indent(self, column: int) -> bool:
        self._require_level(len(self.indents))
        return bool(super().add_indent(column))

    def _require_level(self, level: int) -> None:
        if level > MAX_LEVELS:
            raise DocumentInvalid("not usable YAML: the nesting is too deep")

    def get_single_node(self) -> yaml.Node | None:
        """Return the first document, as Go's reader does; documents after it must be empty."""
        node: yaml.Node | None = self.get_node() if self.check_node() else None
        while self.check_node():
            more: yaml.Node | None = self.get_node()
            if more is not None and not _is_empty(more):
                line = more.start_mark.line + 1
                raise DocumentInvalid(f"a second document begins after ---, line {line}: only one can be used")
        if node is not None:
            _count(node, {})
            self._refuse_repeated_keys(node, set())
        return node

    def _refuse_repeated_keys(self, node: yaml.Node, seen: set[int]) -> None:
        """Raise DocumentInvalid for a duplicate key: YAML forbids it, and PyYAML silently uses the last.

        `<<` may be repeated. `1` and `"1"` are one key, as readers turn both into strings.
        """
        if id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                    continue
                word, line = str(self.construct_object(key)), key.start_mark.line + 1
                if word in lines:
                    raise DocumentInvalid(
                        f"the key {word[:_SHOWN]!r} is given twice, in lines {lines[word]} and {line}"
                    )
                lines[word] = line
        for member in _members(node):
            self._refuse_repeated_keys(member, seen)


def _count(node: yaml.Node, counted: dict[int, int]) -> int:
    """Return the number of values of a node; `counted` has those of others, 0 while one is in progress."""
    known = counted.get(id(node))
    if known == 0:
        raise DocumentInvalid(f"not usable YAML: an anchor contains itself, line {node.start_mark.line + 1}")
    if known is not None:
        return known
    counted[id(node)] = 0
    total = 1 + sum(_count(member, counted) for member in _members(node))
    if total > MAX_VALUES:
        raise DocumentInvalid(f"not usable YAML: its anchors stand for more than {MAX_VALUES} values")
    counted[id(node)] = total
    return total


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    value: int = loader.construct_yaml_int(node)
    if value.bit_length() > MAX_BITS:
        raise ValueError(f"a whole number of more than {MAX_BITS} bits, line {node.start_mark.line + 1}")
    return value


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and not node.value


def _members(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
