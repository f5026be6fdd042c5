"""The order in which manifests are removed."""

from collections.abc import Iterable, Mapping


def components_from_the_top(below: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the strongly connected components in topological order, from the top, by Kosaraju's method.

    Manifests of one group refer to each other: an index with a subject that has that index as a child, say. References
    that are not keys do not count.
    """
    above: dict[str, list[str]] = {digest: [] for digest in below}
    for digest, members in below.items():
        for member in members:
            if member in above:
                above[member].append(digest)
    seen: set[str] = set()
    finished: list[str] = []
    for root in below:
        _visit(root, below, seen, finished)
    groups: list[list[str]] = []
    seen = set()
    for root in reversed(finished):
        group: list[str] = []
        _visit(root, above, seen, group)
        if group:
            groups.append(group)
    return groups


def _visit(root: str, edges: Mapping[str, Iterable[str]], seen: set[str], finished: list[str]) -> None:
    """Append all unseen nodes that `root` reaches, in postorder."""
    if root in seen:
        return
    seen.add(root)
    path = [(root, iter(edges[root]))]
    while path:
        digest, members = path[-1]
        for member in members:
            if member in edges and member not in seen:
                seen.add(member)
                path.append((member, iter(edges[member])))
                break
        else:
            finished.append(digest)
            path.pop()
