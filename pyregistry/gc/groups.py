"""The order in which manifests go."""

from collections.abc import Iterable, Mapping


def groups_from_the_top(below: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The keys in groups, each behind every group that has something above it.

    Those of one group are above each other: an index with a subject that itself has a child whose ... and so on. The
    strongly connected components by Kosaraju's method; what is below and not a key does not count.
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
    """Append what can be reached from `root` and was not seen, each behind all that can be reached from it."""
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
