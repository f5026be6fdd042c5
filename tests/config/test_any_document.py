"""Any value under any key makes a config, or is refused with reasons; there is never a traceback."""

import json
import logging
from io import StringIO
from typing import Any, get_args, get_origin

import msgspec
import structlog
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyregistry.api.http.access_log import JsonAccessLogger, LogEntry
from pyregistry.config.error_messages import alternatives, is_section
from pyregistry.config.errors import ConfigError
from pyregistry.config.load import parse
from pyregistry.config.schema import Config
from pyregistry.service.effective_settings import effective_config
from pyregistry.service.log import configure_logging
from pyregistry.service.wiring import api_settings, connection_limits, storage_rules

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.just(10**400),
    st.floats(),
    st.dates(),
    st.datetimes(),
    st.binary(max_size=3),
    st.text(max_size=5),
    st.sampled_from(
        ["", "10s", "1h", "tcp", "/", "https://a.test", "a.test:1", "\x00", "*", "everyone", "linux/amd64"]
    ),
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers(), st.none(), st.booleans()), inner, max_size=3),
        st.sets(st.integers(), max_size=2),
    ),
    max_leaves=5,
)


def fitting(kind: Any) -> st.SearchStrategy[Any]:
    """Values of the right shape, with junk inside."""
    [first, *_] = alternatives(kind)
    if is_section(first):
        return section(first)
    if get_origin(first) is list:
        return st.lists(anything_for(get_args(first)[0]), max_size=3)
    if get_origin(first) is dict:
        keys = st.one_of(st.text(max_size=4), st.integers(), st.none())
        return st.dictionaries(keys, anything_for(get_args(first)[1]), max_size=3)
    return SCALARS


def anything_for(kind: Any) -> st.SearchStrategy[Any]:
    return st.one_of(fitting(kind), fitting(kind), JUNK)


def section(kind: Any) -> st.SearchStrategy[dict[str, Any]]:
    members = {field.encode_name: anything_for(field.type) for field in msgspec.structs.fields(kind)}
    return st.fixed_dictionaries({}, optional=members)


def read(document: object) -> Config | None:
    """The config, None if it is refused with reasons."""
    try:
        return parse(yaml.safe_dump(document, allow_unicode=True), {})[0]
    except ConfigError as error:
        assert error.reasons  # noqa: PT017 - of this property
        assert all(reason for reason in error.reasons)  # noqa: PT017 - the same
        return None


def use(config: Config) -> None:
    """Do with a config what a server does before it listens."""
    try:
        storage_rules(config)
    except ConfigError:
        return
    api_settings(config)
    assert effective_config(effective_config(config)) == effective_config(config)
    connection_limits(config)
    yaml.safe_dump(msgspec.to_builtins(effective_config(config), enc_hook=str))
    lines = JsonAccessLogger(fields=config.log.fields)._line(
        LogEntry("x", "x", "", "GET", "/v2/", "HTTP/1.1", "", 200, 0, ""), 0.1
    )
    assert json.loads(lines, parse_constant=refuse_constant)["status"] == 200


def refuse_constant(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")


@given(section(Config))
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
def test_any_value_under_any_key_is_taken_or_refused(document: dict[str, Any]) -> None:
    config = read({"version": "0.1", "storage": {"inmemory": {}}, **document})
    if config is not None:
        use(config)


@given(st.sampled_from(msgspec.structs.fields(Config)).flatmap(lambda f: st.tuples(st.just(f), anything_for(f.type))))
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
def test_any_value_of_one_section_is_taken_or_refused(found: tuple[msgspec.structs.FieldInfo, Any]) -> None:
    field, value = found
    config = read({"version": "0.1", "storage": {"inmemory": {}}, field.encode_name: value})
    if config is not None:
        use(config)


@given(st.dictionaries(st.one_of(st.text(max_size=4), st.integers(), st.none()), JUNK, max_size=4))
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
def test_any_fields_of_a_log_are_written_as_json(fields: dict[Any, Any]) -> None:
    config = read({"version": "0.1", "storage": {"inmemory": {}}, "log": {"fields": fields, "formatter": "json"}})
    assert config is not None
    use(config)
    root = logging.getLogger()
    before, kept = (root.handlers[:], root.level), structlog.get_config()
    stream = StringIO()
    try:
        for formatter in ("json", "logstash", "text"):
            configure_logging("info", formatter, config.log.fields, stream=stream)
            logging.getLogger("a").info("said")
    finally:
        root.handlers[:], root.level = before
        structlog.configure(**kept)
    first, second, third, rest = stream.getvalue().split("\n")
    assert json.loads(first, parse_constant=refuse_constant)["event"] == "said"
    assert json.loads(second, parse_constant=refuse_constant)["message"] == "said"
    assert third.isprintable()
    assert rest == ""
