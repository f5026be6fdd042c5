"""The endpoint table against the distribution spec, its handlers' docstrings and docs/endpoints.md."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pyregistry.api.routes import ENDPOINTS, Endpoint
from pyregistry.auth.access import Action
from pyregistry.observe.observers import EventTarget
from tests.api.test_fast_path import CACHED

PAGE = Path(__file__).parent.parent / "docs/endpoints.md"

_SPEC = {
    "end-1": ("GET", "/v2/"),
    "end-2": ("GET HEAD", "/v2/<name>/blobs/<digest>"),
    "end-3": ("GET HEAD", "/v2/<name>/manifests/<reference>"),
    "end-4a": ("POST", "/v2/<name>/blobs/uploads/"),
    "end-4b": ("POST", "/v2/<name>/blobs/uploads/"),
    "end-4c": ("POST", "/v2/<name>/blobs/uploads/"),
    "end-5": ("PATCH", "/v2/<name>/blobs/uploads/<upload>"),
    "end-6": ("PUT", "/v2/<name>/blobs/uploads/<upload>"),
    "end-7a": ("PUT", "/v2/<name>/manifests/<reference>"),
    "end-7b": ("PUT", "/v2/<name>/manifests/<reference>"),
    "end-8a": ("GET", "/v2/<name>/tags/list"),
    "end-8b": ("GET", "/v2/<name>/tags/list"),
    "end-9": ("DELETE", "/v2/<name>/manifests/<reference>"),
    "end-10": ("DELETE", "/v2/<name>/blobs/<digest>"),
    "end-11": ("POST", "/v2/<name>/blobs/uploads/"),
    "end-12a": ("GET", "/v2/<name>/referrers/<digest>"),
    "end-12b": ("GET", "/v2/<name>/referrers/<digest>"),
    "end-13": ("GET", "/v2/<name>/blobs/uploads/<upload>"),
    "end-14": ("DELETE", "/v2/<name>/blobs/uploads/<upload>"),
}
"""distribution-spec, "Endpoints"."""
_ACTIONS = {
    "GET": {Action.BASE, Action.TOKEN, Action.PULL, Action.CATALOG, Action.PUSH, Action.PROBE, Action.METRICS},
    "HEAD": {Action.BASE, Action.PULL, Action.PUSH, Action.PROBE},
    "POST": {Action.TOKEN, Action.PUSH},
    "PUT": {Action.PUSH},
    "PATCH": {Action.PUSH},
    "DELETE": {Action.DELETE, Action.PUSH},
    "*": {Action.BASE},
}
_HANDLERS: dict[Callable[..., object], list[Endpoint]] = {}
for _endpoint in ENDPOINTS:
    _HANDLERS.setdefault(_endpoint.handler, []).append(_endpoint)


def _readable(path: str) -> str:
    """`/v2/{name:.+}/tags/list` as the documents write it, `/v2/<name>/tags/list`."""
    return re.sub(r"\{(\w+):[^{}]+\}", r"<\1>", path.replace("{slash:/?}", "/"))


@pytest.mark.parametrize("spec_id", _SPEC)
def test_every_endpoint_of_the_spec_has_one_handler_at_its_method_and_path(spec_id: str) -> None:
    rows = [endpoint for endpoint in ENDPOINTS if spec_id in endpoint.spec.split()]
    assert len({row.handler for row in rows}) == 1
    methods, path = _SPEC[spec_id]
    assert set(methods.split()) <= {row.method for row in rows}
    assert {_readable(row.path) for row in rows} == {path}


def test_no_row_has_an_id_that_the_spec_does_not_have() -> None:
    named = {spec_id for endpoint in ENDPOINTS for spec_id in endpoint.spec.split()}
    assert named == {*_SPEC, "docker", "none"}


def test_no_method_and_path_stands_there_twice() -> None:
    rows = [(endpoint.method, endpoint.path) for endpoint in ENDPOINTS]
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {_readable(endpoint.path)}")
def test_every_endpoint_has_an_action_that_fits_its_method(endpoint: Endpoint) -> None:
    assert isinstance(endpoint.action, Action)
    assert endpoint.action in _ACTIONS[endpoint.method]
    assert endpoint.mutates == (endpoint.method in {"POST", "PUT", "PATCH", "DELETE"})
    if "{name" in endpoint.path:
        assert endpoint.action in {Action.PULL, Action.PUSH, Action.DELETE}


_CACHED = [endpoint for endpoint in ENDPOINTS if endpoint.cached is not None]


@pytest.mark.parametrize("endpoint", _CACHED, ids=lambda endpoint: f"{endpoint.method} {_readable(endpoint.path)}")
def test_what_may_be_answered_from_memory_can_be_told_by_its_last_two_words(endpoint: Endpoint) -> None:
    assert endpoint.method in {"GET", "HEAD"}
    assert endpoint.action is Action.PULL  # so that observers are notified of a pull
    _, root, name, word, reference = _readable(endpoint.path).split("/")
    assert (root, name) == ("v2", "<name>")
    assert re.fullmatch("[a-z]+", word)
    assert re.fullmatch("<[a-z]+>", reference)
    assert endpoint.name in set(EventTarget)


def test_each_row_of_memory_has_a_word_of_its_own() -> None:
    words = [(endpoint.method, _readable(endpoint.path).split("/")[-2]) for endpoint in _CACHED]
    assert sorted(words) == sorted(set(words))


def test_what_is_answered_from_memory_is_compared_with_the_handlers_answer() -> None:
    compared = {(method, path.split("/")[-2]) for method, path in CACHED}
    assert compared == {(endpoint.method, _readable(endpoint.path).split("/")[-2]) for endpoint in _CACHED}


def test_only_a_push_may_need_to_read_elsewhere() -> None:
    assert [endpoint.handler.__name__ for endpoint in ENDPOINTS if endpoint.reads is not None] == ["start_upload"]


@pytest.mark.parametrize("handler", _HANDLERS, ids=lambda handler: handler.__name__)
def test_every_docstring_begins_with_its_ids_and_its_call(handler: Callable[..., object]) -> None:
    rows = _HANDLERS[handler]
    begin = (inspect.getdoc(handler) or "").partition("\n")[0]
    ids = {spec_id for row in rows for spec_id in row.spec.split()}
    if ids == {"none"}:
        assert begin
        return
    before, *quoted = begin.split("`")
    assert {f"end-{number}" for number in re.findall(r"\d+[abc]?", before)} == ids - {"docker"}
    call = " ".join(quoted[::2])
    methods = set(re.findall(r"\b[A-Z]{3,}\b", call))
    assert methods <= {row.method for row in rows}
    assert methods | {"HEAD"} == {row.method for row in rows} | {"HEAD"}
    path = _readable(rows[0].path).replace("<reference>", "<tag-or-digest>")
    assert path in call or ("<upload>" in path and "<blob-push-location>" in call)


@pytest.mark.parametrize("handler", _HANDLERS, ids=lambda handler: handler.__name__)
def test_a_handler_has_at_most_25_lines(handler: Callable[..., object]) -> None:
    assert len(inspect.getsource(handler).splitlines()) <= 25


def _table_in_code() -> list[tuple[str, str, str]]:
    """One row for each path and spec id: the methods that share a handler stand together."""
    rows: dict[tuple[str, str], list[str]] = {}
    for endpoint in ENDPOINTS:
        if endpoint.spec != "none":
            rows.setdefault((_readable(endpoint.path), endpoint.spec), []).append(endpoint.method)
    return [(" ".join(methods), path, spec) for (path, spec), methods in rows.items()]


def _table_in_page() -> list[tuple[str, ...]]:
    _, begin, rest = PAGE.read_text(encoding="utf-8").partition("<!-- endpoints -->")
    table, end, _ = rest.partition("<!-- /endpoints -->")
    assert begin, "docs/endpoints.md has no <!-- endpoints -->"
    assert end, "docs/endpoints.md has no <!-- /endpoints -->"
    lines = [line.strip() for line in table.splitlines() if line.strip().startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line.strip("|")) for line in lines]
    words = [tuple(" ".join(cell.replace("`", " ").replace(",", " ").split()) for cell in row) for row in cells]
    return [row for row in words if not set("".join(row)) <= set("-:")]


def test_the_page_has_the_endpoint_table_of_the_code() -> None:
    expected = _table_in_code()
    lines = ["| method | path | spec |", "|---|---|---|"]
    lines += [
        f"| {' '.join(f'`{method}`' for method in methods.split())} | `{path}` | {spec} |"
        for methods, path, spec in expected
    ]
    wanted = "\n".join(["<!-- endpoints -->", *lines, "<!-- /endpoints -->"])
    assert _table_in_page() == [("method", "path", "spec"), *expected], f"docs/endpoints.md needs this table:\n{wanted}"
