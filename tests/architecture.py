"""docs/architecture.md: the table of the rooms and their picture, from the packages and their imports.

`make architecture` writes both; without `--write` they are compared with the tree.
"""

import argparse
import ast
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape

import grimp

from tests.processes import SOURCE_TREE

PACKAGE = "pyregistry"
PAGE = SOURCE_TREE / "docs/architecture.md"
PICTURE = SOURCE_TREE / "docs/architecture.svg"
BEGIN, END = "<!-- rooms -->\n", "<!-- /rooms -->\n"

Edges = set[tuple[str, str]]

_WIDTH = 920
_MARGIN = 20
_BOX_HEIGHT = 34
_INNER_GAP = 30
_FLOOR_GAP = 46
_PADDING = 14


@dataclass(frozen=True)
class Box:
    """A room in the picture, in pixels; `title` is its name without the room around it."""

    title: str
    left: float
    top: float
    width: float
    height: float

    @property
    def below(self) -> tuple[float, float]:
        """Return the middle of the lower edge."""
        return self.left + self.width / 2, self.top + self.height

    @property
    def above(self) -> tuple[float, float]:
        """Return the middle of the upper edge."""
        return self.left + self.width / 2, self.top


def rooms() -> dict[str, str]:
    """Return each package, without the outermost, with the first paragraph of its docstring."""
    found = {}
    root = SOURCE_TREE / PACKAGE
    for path in sorted(root.glob("*/**/__init__.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        name = path.parent.relative_to(root).as_posix().replace("/", ".")
        found[name] = " ".join(docstring.partition("\n\n")[0].split())
    return found


def floors() -> dict[str, list[list[str]]]:
    """Return the layers of import-linter: of the package, of its rooms `api` and `storage`, the highest first."""
    settings = tomllib.loads((SOURCE_TREE / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {
        contract["containers"][0]: [[each.strip() for each in layer.split(":")] for layer in contract["layers"]]
        for contract in settings["contracts"]
        if contract["type"] == "layers"
    }


def imports(container: str) -> Edges:
    """Return which room of a container imports which."""
    graph = grimp.build_graph(PACKAGE)
    depth = container.count(".") + 1
    found = set()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            if module.startswith(f"{container}.") and imported.startswith(f"{container}."):
                pair = module.split(".")[depth], imported.split(".")[depth]
                if pair[0] != pair[1]:
                    found.add(pair)
    return found


def reduced(edges: Edges) -> Edges:
    """Leave out each edge that a longer way implies. The edges have no circle, which import-linter proves."""
    targets: dict[str, set[str]] = {}
    for source, target in edges:
        targets.setdefault(source, set()).add(target)

    def reachable(start: str) -> set[str]:
        found = set(targets.get(start, ()))
        for each in list(found):
            found |= reachable(each)
        return found

    return {
        (source, target)
        for source, target in edges
        if not any(target in reachable(other) for other in targets[source] - {target})
    }


def table() -> str:
    """Return the table of the rooms."""
    rows = [f"| `{PACKAGE}/{name.replace('.', '/')}` | {sentence} |\n" for name, sentence in rooms().items()]
    return "| room | task |\n|---|---|\n" + "".join(rows)


def picture() -> str:
    """Return the SVG."""
    of_floors = floors()
    top: float = _MARGIN
    parts: list[str] = []
    boxes: dict[str, Box] = {}
    for layer in of_floors[PACKAGE]:
        names = [name for name in layer if name in rooms()]
        if not names:
            continue
        inner = {name: of_floors.get(f"{PACKAGE}.{name}", []) for name in names}
        height = max(map(_height, inner.values()))
        for name, whole in _row(names, top, height, _weights(inner)).items():
            box = boxes[name] = whole if inner[name] else replace(whole, height=_BOX_HEIGHT)
            parts.extend(_drawn(box, is_filled=not inner[name]))
            if inner[name]:
                parts.extend(_inside(name, box, inner[name]))
        top += height + _FLOOR_GAP
    arrows = [_arrow(boxes[a], boxes[b]) for a, b in sorted(reduced(imports(PACKAGE))) if a in boxes and b in boxes]
    return _document(top - _FLOOR_GAP + _MARGIN, [*arrows, *parts])


def _weights(inner: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, int]:
    return {name: 4 if layers else 1 for name, layers in inner.items()}


def _height(layers: Sequence[Sequence[str]]) -> float:
    if not layers:
        return _BOX_HEIGHT
    return _BOX_HEIGHT + len(layers) * _BOX_HEIGHT + (len(layers) - 1) * _INNER_GAP + _PADDING


def _row(
    names: Sequence[str], top: float, height: float, weights: Mapping[str, int], left: float = _MARGIN, width: float = 0
) -> dict[str, Box]:
    """Lay out the boxes of a floor from left to right; one that is alone leaves room for arrows."""
    gap = 24
    width = width or _WIDTH - 2 * _MARGIN
    if len(names) == 1:
        left, width = left + width * 0.3, width * 0.4
    unit = (width - gap * (len(names) - 1)) / sum(weights[name] for name in names)
    found = {}
    for name in names:
        own = unit * weights[name]
        found[name] = Box(name, round(left, 1), top, round(own, 1), height)
        left += own + gap
    return found


def _inside(room: str, box: Box, layers: Sequence[Sequence[str]]) -> Iterable[str]:
    boxes: dict[str, Box] = {}
    top = box.top + _BOX_HEIGHT
    for layer in layers:
        names = list(layer)
        boxes |= _row(names, top, _BOX_HEIGHT, dict.fromkeys(names, 1), box.left + _PADDING, box.width - 2 * _PADDING)
        top += _BOX_HEIGHT + _INNER_GAP
    for source, target in sorted(reduced(imports(f"{PACKAGE}.{room}"))):
        yield _arrow(boxes[source], boxes[target])
    for each in boxes.values():
        yield from _drawn(each, is_filled=True)


def _drawn(box: Box, *, is_filled: bool) -> Iterable[str]:
    fill = "#eef3fa" if is_filled else "#ffffff"
    middle = box.top + (_BOX_HEIGHT / 2 + 5)
    yield (
        f'<rect x="{box.left}" y="{box.top}" width="{box.width}" height="{box.height}" rx="6" '
        f'fill="{fill}" stroke="#4a6fa5"/>'
    )
    yield f'<text x="{box.left + box.width / 2:.1f}" y="{middle:.1f}" text-anchor="middle">{escape(box.title)}</text>'


def _arrow(source: Box, target: Box) -> str:
    (x1, y1), (x2, y2) = source.below, target.above
    bend = (y2 - y1) / 2
    path = f"M{x1:.1f},{y1:.1f} C{x1:.1f},{y1 + bend:.1f} {x2:.1f},{y2 - bend:.1f} {x2:.1f},{y2 - 3:.1f}"
    return f'<path d="{path}" fill="none" stroke="#6b7f99" stroke-opacity="0.8" marker-end="url(#arrow)"/>'


def _document(height: float, parts: Sequence[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" '
            'font-family="sans-serif" font-size="14" role="img">',
            "<title>Rooms of pyregistry: an arrow leads from a room to one that it imports</title>",
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#8899aa"/></marker></defs>',
            f'<rect width="{_WIDTH}" height="{height:.0f}" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        ]
    )


def page() -> str:
    """Return the page with the table as the tree gives it."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return f"{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}"


def main(arguments: Sequence[str]) -> int:
    """Write the page and the picture, or return 1 where they differ from the tree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    expected = {PAGE: page(), PICTURE: picture()}
    if parser.parse_args(arguments).write:
        for path, text in expected.items():
            path.write_text(text)
        return 0
    stale = [path for path, text in expected.items() if not path.exists() or path.read_text() != text]
    sys.stdout.writelines(f"{path.name} differs from the tree: make architecture\n" for path in stale)
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
