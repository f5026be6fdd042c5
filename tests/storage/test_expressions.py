"""The regular expressions of the config: Go's dialect, searched before any lock, in as many urls as there may be."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyregistry.common.expressions import compile_expression
from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import ManifestInvalid
from pyregistry.oci.names import Tag
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams.rules import MAX_URLS, Rules
from tests.builders import LAYER, Image, descriptor, image
from tests.storage.pushing import push_blob, registry_on, repository

REFUSED = {
    "a backreference": r"(a)\1",
    "a lookahead": "(?=a)",
    "a negative lookahead": "(?!a)",
    "a lookbehind": "(?<=a)b",
    "an atomic group": "(?>a)",
    "a possessive quantifier": "a++",
    "a verbose flag": "(?x) a",
    "Python's end of the text": r"a\Z",
    "a byte": r"a\C",
    "a byte behind a backslash": r"\\\C",
    "too many repetitions": "a{1001}",
    "repetitions that multiply": "((a{100}){100}){10}",
    "a class that there is not": r"\p{Nothing}",
    "too much memory": r"(\pL{1,100}){9}",
    "an open bracket": "[",
    "an open parenthesis": "(",
    "half a surrogate pair": "\ud800",
}


@pytest.mark.parametrize("expression", REFUSED.values(), ids=REFUSED.keys())
def test_go_refuses(expression: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        compile_expression(expression)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("expression", "found", "not_found"),
    [
        ("example", ["https://example.org/", "xexamplex"], ["https://EXAMPLE.org/"]),
        (r"^https://layers\.example\.org/", ["https://layers.example.org/a"], ["http://x/https://layers.example.org/"]),
        ("(?i)^HTTPS://", ["https://a"], ["http://a"]),
        (r"\.zip$", ["http://a/b.zip"], ["http://a/b.zip\n", "http://a/b.zipx"]),
        (r"^https?://([^/]+\.)*example\.com/", ["http://a.b.example.com/"], ["http://aexample.com/", "http://a/b"]),
        (r"^[[:alpha:]]+://\Qa.b\E/", ["http://a.b/"], ["http://acb/"]),
        (r"(?P<host>a)/\pL", ["http://a/\u00e9"], ["http://a/1"]),
        (r"^\\C", ["\\C"], ["\\", "C"]),
    ],
)
def test_an_expression_is_searched_for_as_go_does(expression: str, found: list[str], not_found: list[str]) -> None:
    understood = compile_expression(expression)
    assert [text for text in found + not_found if understood.search(text)] == found


class LockingDriver(FilesystemDriver):
    """The names of the locks that were taken are in `locks`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.locks: list[str] = []

    @contextmanager
    def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> Iterator[None]:
        self.locks.append(name)
        with super().lock(name, exclusive=exclusive, wait=wait):
            yield


def with_urls(*urls: str) -> Image:
    """An image whose layers are elsewhere, at sixteen places each."""
    groups = [urls[begin : begin + 16] for begin in range(0, len(urls), 16)]
    return image(layers=[descriptor(str(at).encode(), LAYER, urls=group) for at, group in enumerate(groups)])


@pytest.mark.parametrize(
    "rules", [{"allowed_urls": (compile_expression("allowed"),)}, {"denied_urls": (compile_expression("x/"),)}]
)
def test_urls_are_refused_before_any_lock_is_taken(root: Path, rules: dict[str, object]) -> None:
    driver = LockingDriver(root)
    repo = repository(registry_on(driver, Rules(**rules)))  # type: ignore[arg-type] # one row of the table
    with pytest.raises(ManifestInvalid, match="https://x/y"):
        repo.put_manifest(Tag("latest"), with_urls("https://x/y").content, None)
    assert driver.locks == []


def test_as_many_different_urls_are_searched_as_the_limit_says(root: Path) -> None:
    urls = [f"https://allowed/{number}" for number in range(MAX_URLS)]
    strict, free = Rules(allowed_urls=(compile_expression("allowed"),)), Rules()
    driver = FilesystemDriver(root)
    push_blob(repository(registry_on(driver)), b"{}")
    many, more = with_urls(*urls, *urls), with_urls(*urls, "https://allowed/more")
    assert repository(registry_on(driver, strict)).put_manifest(Tag("a"), many.content, None).digest == many.digest
    with pytest.raises(ManifestInvalid, match="1000"):
        repository(registry_on(driver, strict)).put_manifest(Digest(more.digest), more.content, None)
    assert repository(registry_on(driver, free)).put_manifest(Tag("b"), more.content, None).digest == more.digest
