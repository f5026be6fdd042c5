"""Requests by the words that say what they are."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.comparison.asking import Answer, Asker, Fields

Request = Callable[[Asker], Answer]


def plain(method: str, target: str, fields: Fields = ()) -> Request:
    """One request and nothing before it; REPO in its target means the repository."""
    return lambda asker: asker.ask(method, target.replace("REPO", asker.repository), fields)


@dataclass(frozen=True)
class Row:
    """A request with the kind of registry that gets it: one of `tests.comparison.pairs.KINDS`."""

    request: Request
    kind: str = "open"


class Rows(dict[str, Row]):
    """No words stand for two requests."""

    def row(self, words: str, kind: str = "open") -> Callable[[Request], Request]:
        """Enter what is decorated with it."""

        def enter(request: Request) -> Request:
            self.add(words, request, kind)
            return request

        return enter

    def add(self, words: str, request: Request, kind: str = "open") -> None:
        assert words not in self, words
        self[words] = Row(request, kind)
