"""Source that is broken on purpose. Code is found by its syntax tree, so that comments and lines do not matter."""

import ast
import textwrap
from collections.abc import Sequence


class NotFoundOnce(AssertionError):
    """The code to break is not in the source exactly once: write the mutant anew."""


def mutate(source: str, changes: Sequence[tuple[str, str]]) -> ast.Module:
    """Return the tree of `source` in which each `old` of (old, new) became `new`; raise NotFoundOnce.

    Both are expressions, or statements that follow each other. The body of a compound statement that is written
    `...` matches any body, and `...` in `new` is that body. An empty `new` removes statements.
    """
    tree = ast.parse(source)
    for old, new in changes:
        change = _Change(old, new)
        change.visit(tree)
        ast.fix_missing_locations(tree)
        if change.count != 1:
            raise NotFoundOnce(f"found {change.count} times, write this mutant anew:\n{old}")
    return tree


class _Change(ast.NodeTransformer):
    def __init__(self, old: str, new: str) -> None:
        self.count = 0
        self._old = ast.parse(textwrap.dedent(old)).body
        self._new = ast.parse(textwrap.dedent(new)).body
        self._expressions: tuple[ast.expr, ast.expr] | None = None
        if len(self._old) == len(self._new) == 1:
            before, after = self._old[0], self._new[0]
            if isinstance(before, ast.Expr) and isinstance(after, ast.Expr):
                self._expressions = before.value, after.value

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(node, name, None)
            if isinstance(statements, list):
                setattr(node, name, self._changed(statements) or [ast.Pass()] * bool(statements))
        return node

    def visit(self, node: ast.AST) -> ast.AST:
        if self._expressions is not None and _is_same(self._expressions[0], node, []):
            self.count += 1
            return self._expressions[1]
        visited: ast.AST = super().visit(node)
        return visited

    def _changed(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        changed: list[ast.stmt] = []
        at = 0
        while at < len(statements):
            found, bodies = statements[at : at + len(self._old)], list[list[ast.stmt]]()
            if self._expressions is None and _is_same(self._old, found, bodies):
                self.count += 1
                for statement in self._new:
                    _fill(statement, bodies)
                changed += self._new
                at += len(self._old)
            else:
                changed.append(statements[at])
                at += 1
        return changed


def _is_same(pattern: object, node: object, bodies: list[list[ast.stmt]]) -> bool:
    """Compare, and add to `bodies` the statements in `node` where `pattern` has `...`."""
    if isinstance(pattern, list):
        return (
            isinstance(node, list)
            and len(pattern) == len(node)
            and all(_is_same(one, other, bodies) for one, other in zip(pattern, node, strict=True))
        )
    if not isinstance(pattern, ast.AST):
        return type(pattern) is type(node) and pattern == node
    if type(pattern) is not type(node):
        return False
    for name in pattern._fields:
        if name == "body" and _is_any_body(pattern):
            bodies.append(getattr(node, name))
        elif name not in _IGNORED and not _is_same(getattr(pattern, name, None), getattr(node, name, None), bodies):
            return False
    return True


_IGNORED = ("ctx", "type_comment", "kind")


def _fill(node: ast.AST, bodies: list[list[ast.stmt]]) -> None:
    """Put the bodies into the places of `...`, in their order."""
    for name, value in ast.iter_fields(node):
        if name == "body" and _is_any_body(node):
            setattr(node, name, bodies.pop(0))
        else:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    _fill(child, bodies)


def _is_any_body(node: ast.AST) -> bool:
    match getattr(node, "body", None):
        case [ast.Expr(value=ast.Constant(value=value))]:
            return value is ...
        case _:
            return False
