"""REGISTRY_* variables, by the CNCF registry's rule (its parser.go); the numbers are those of the rule's sentences."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pyregistry.config.environment import apply_environment
from pyregistry.config.errors import ConfigError, Notes

FILE = """
version: 0.1
storage: {filesystem: {rootdirectory: /data}, delete: {enabled: false}}
http: {addr: ":5000", headers: {X-Content-Type-Options: [nosniff]}}
"""


def overlay(document: dict[object, object], environ: dict[str, str]) -> tuple[dict[object, object], list[str]]:
    """The document with the variables, and warnings. Raises ConfigError."""
    notes = Notes()
    result = apply_environment(document, environ, notes)
    if notes.errors:
        raise ConfigError(*notes.errors)
    return result, notes.warnings


Case = tuple[dict[str, str], tuple[str, ...], Any]

CASES: dict[str, Case] = {
    "1: a variable replaces what the file says": (
        {"REGISTRY_HTTP_ADDR": ":80"},
        ("http", "addr"),
        ":80",
    ),
    "1: shorter names come first, whatever their order in the environment": (
        {"REGISTRY_STORAGE_DELETE_ENABLED": "true", "REGISTRY_STORAGE": "inmemory"},
        ("storage",),
        {"inmemory": {}, "delete": {"enabled": True}},
    ),
    "1: names are sorted as bytes": (
        {"REGISTRY_HTTP": "{host: b}", "REGISTRY_HTTP_HOST": "a"},
        ("http",),
        {"host": "a"},
    ),
    "2: a section that the file does not have is made": (
        {"REGISTRY_CATALOG_MAXENTRIES": "5"},
        ("catalog",),
        {"maxentries": 5},
    ),
    "2: sections are made at every depth": (
        {"REGISTRY_LOG_ACCESSLOG_DISABLED": "true"},
        ("log", "accesslog", "disabled"),
        True,
    ),
    "2: its neighbours stay": (
        {"REGISTRY_HTTP_ADDR": ":80"},
        ("http", "headers"),
        {"X-Content-Type-Options": ["nosniff"]},
    ),
    "4: a key of the file is found whatever its case": (
        {"REGISTRY_HTTP_HEADERS_X-CONTENT-TYPE-OPTIONS": "[other]"},
        ("http", "headers"),
        {"X-Content-Type-Options": ["other"]},
    ),
    "4: a new key is written in lower case": (
        {"REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin": "['http://x']"},
        ("http", "headers", "access-control-allow-origin"),
        ["http://x"],
    ),
    "5: a list is given as a whole": (
        {"REGISTRY_NOTIFICATIONS_ENDPOINTS": "[{name: x, url: 'http://y'}]"},
        ("notifications", "endpoints"),
        [{"name": "x", "url": "http://y"}],
    ),
    "5: an item of a list, whose index is its length": (
        {"REGISTRY_PYREGISTRY_WARNINGS_0": "a", "REGISTRY_PYREGISTRY_WARNINGS_1": "b"},
        ("pyregistry", "warnings"),
        ["a", "b"],
    ),
    "5: a part of an item of a list": (
        {"REGISTRY_NOTIFICATIONS_ENDPOINTS_0_NAME": "x", "REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL": "'http://y'"},
        ("notifications", "endpoints"),
        [{"name": "x", "url": "http://y"}],
    ),
    "5: an item of a list of words, which the CNCF registry leaves empty": (
        {"REGISTRY_HTTP_TLS_CLIENTCAS_0": "/certs/ca.crt"},
        ("http", "tls", "clientcas"),
        ["/certs/ca.crt"],
    ),
    "5: an item replaces that of the list as a whole": (
        {"REGISTRY_PYREGISTRY_WARNINGS": "[a, b]", "REGISTRY_PYREGISTRY_WARNINGS_0": "c"},
        ("pyregistry", "warnings"),
        ["c", "b"],
    ),
    "6: a number": ({"REGISTRY_TAGS_MAXTAGS": "10"}, ("tags", "maxtags"), 10),
    "6: a truth value": ({"REGISTRY_STORAGE_DELETE_ENABLED": "true"}, ("storage", "delete", "enabled"), True),
    "6: a quoted number is a word": ({"REGISTRY_HTTP_SECRET": "'10'"}, ("http", "secret"), "10"),
    "6: a map": ({"REGISTRY_LOG_FIELDS": "{a: b}"}, ("log", "fields"), {"a": "b"}),
    "6: JSON": ({"REGISTRY_LOG_FIELDS": '{"a": "b"}'}, ("log", "fields"), {"a": "b"}),
    "6: a sentence": (
        {"REGISTRY_AUTH_HTPASSWD_REALM": "Registry Realm"},
        ("auth", "htpasswd", "realm"),
        "Registry Realm",
    ),
    "6: nothing is null": ({"REGISTRY_HTTP_HOST": ""}, ("http", "host"), None),
    "8: a driver as a word replaces the section": ({"REGISTRY_STORAGE": "inmemory"}, ("storage",), "inmemory"),
    "8: longer names fill a section that is a word": (
        {"REGISTRY_AUTH": "htpasswd", "REGISTRY_AUTH_HTPASSWD_PATH": "/p", "REGISTRY_AUTH_HTPASSWD_REALM": "r"},
        ("auth",),
        {"htpasswd": {"path": "/p", "realm": "r"}},
    ),
    "8: a word may be filled with something else": (
        {"REGISTRY_STORAGE": "inmemory", "REGISTRY_STORAGE_DELETE_ENABLED": "true"},
        ("storage",),
        {"inmemory": {}, "delete": {"enabled": True}},
    ),
    "9: read-only in the spelling that the CNCF registry stumbles over": (
        {"REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED": "true"},
        ("storage", "maintenance", "readonly", "enabled"),
        True,
    ),
    "9: read-only in the spelling of its workaround": (
        {"REGISTRY_STORAGE_MAINTENANCE_READONLY": '{"enabled":true}'},
        ("storage", "maintenance", "readonly", "enabled"),
        True,
    ),
    "9: another driver next to that of the file": (
        {"REGISTRY_STORAGE_S3_BUCKET": "b"},
        ("storage",),
        {"filesystem": {"rootdirectory": "/data"}, "delete": {"enabled": False}, "s3": {"bucket": "b"}},
    ),
    "our own section has hyphens": (
        {"REGISTRY_PYREGISTRY_LIMITS_BLOB-SIZE": "5"},
        ("pyregistry", "limits", "blob-size"),
        5,
    ),
}


@pytest.mark.parametrize(("environ", "path", "value"), CASES.values(), ids=CASES.keys())
def test_a_variable_is_laid_over_the_file(environ: dict[str, str], path: tuple[str, ...], value: object) -> None:
    document: Any
    document, warnings = overlay(yaml.safe_load(FILE), environ)
    for key in path:
        document = document[key]
    assert document == value
    assert warnings == []


IGNORED = {
    "2: the version of an image": {"REGISTRY_VERSION": "2.8"},
    "3: no such section, and a value that is no YAML": {"REGISTRY_PASSWORD": "@[hunter2"},
    "3: a section in small letters": {"REGISTRY_http_ADDR": ":80"},
    "3: a key in small letters": {"REGISTRY_HTTP_addr": ":80"},
    "3: no such section": {"REGISTRY_IMAGE_TAG": "latest"},
    "3: no such key of a section": {"REGISTRY_HTTP_ADR": ":80"},
    "3: something below a value": {"REGISTRY_HTTP_ADDR_PORT": "80"},
    "5: no index": {"REGISTRY_VALIDATION_MANIFESTS_URLS_ALLOW_FIRST": "a"},
    "5: an index in other digits": {"REGISTRY_VALIDATION_MANIFESTS_URLS_ALLOW_\u0660": "a"},
    "3: no name": {"REGISTRY_": "x"},
    "10: a service called registry, its port": {"REGISTRY_PORT": "tcp://10.0.0.1:5000"},
    "10: a service called registry, its host": {"REGISTRY_SERVICE_HOST": "10.0.0.1"},
    "10: a service called registry, its address": {"REGISTRY_PORT_5000_TCP_ADDR": "10.0.0.1"},
    "10: a service called registry-auth": {"REGISTRY_AUTH_PORT": "tcp://10.0.0.1:5001"},
    "10: a service called registry-auth with UDP": {"REGISTRY_AUTH_PORT": "udp://10.0.0.1:53"},
    "10: a service called registry-auth, its host": {"REGISTRY_AUTH_SERVICE_HOST": "10.0.0.1"},
    "10: a service called registry-auth, its number": {"REGISTRY_AUTH_SERVICE_PORT": "5001"},
    "10: a service called registry-auth, its named port": {"REGISTRY_AUTH_SERVICE_PORT_HTTPS": "5001"},
    "10: a service called registry-auth, a port": {"REGISTRY_AUTH_PORT_5001_TCP": "tcp://10.0.0.1:5001"},
    "10: a service called registry-auth, a protocol": {"REGISTRY_AUTH_PORT_5001_TCP_PROTO": "tcp"},
    "10: a service called registry-storage": {"REGISTRY_STORAGE_PORT_80_TCP_PORT": "80"},
}


@pytest.mark.parametrize("environ", IGNORED.values(), ids=IGNORED.keys())
def test_a_variable_is_ignored_with_a_warning_that_names_it(environ: dict[str, str]) -> None:
    document = yaml.safe_load(FILE)
    result, warnings = overlay(document, environ)
    assert result == document
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{next(iter(environ))}: ignored")


def test_a_variable_with_very_many_parts_is_ignored() -> None:
    document = yaml.safe_load(FILE)
    result, [warning] = overlay(document, {"REGISTRY_HTTP_HEADERS_A" + "_0" * 5_000: "a"})
    assert result == document
    assert warning.endswith("…: ignored, its name has more than 100 parts")


UNTOUCHED = [
    "PATH",
    "REGISTRY_CONFIGURATION_PATH",
    "registry_http_addr",
    "Registry_HTTP_ADDR",
    "MY_REGISTRY_HTTP_ADDR",
    "REGISTRYHTTP_ADDR",
]


@pytest.mark.parametrize("variable", UNTOUCHED)
def test_a_variable_without_the_prefix_is_not_looked_at(variable: str) -> None:
    document = yaml.safe_load(FILE)
    assert overlay(document, {variable: "{"}) == (document, [])


@pytest.mark.parametrize("value", ["[a", "{a: b", "a: b: c", "'a", "\t- a", "2001-99-99", "0x_", "a\0", "&a [" * 9_000])
def test_a_value_that_is_not_yaml_is_refused_with_the_name_of_its_variable(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^REGISTRY_HTTP_ADDR: "):
        overlay({}, {"REGISTRY_HTTP_ADDR": value})


def test_an_index_behind_the_end_of_a_list_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^REGISTRY_PYREGISTRY_WARNINGS_1: "):
        overlay({}, {"REGISTRY_PYREGISTRY_WARNINGS_1": "a"})


def test_the_document_that_was_given_is_not_changed() -> None:
    document = yaml.safe_load(FILE)
    overlay(document, {"REGISTRY_HTTP_ADDR": ":1", "REGISTRY_STORAGE_DELETE_ENABLED": "true"})
    assert document == yaml.safe_load(FILE)


NAMES = st.lists(
    st.sampled_from(["HTTP", "ADDR", "STORAGE", "AUTH", "LOG", "X-Y", "0", "7", "WARNINGS", "PYREGISTRY", ""]),
    max_size=5,
).map("_".join)
VALUES = st.one_of(st.sampled_from(["filesystem", "htpasswd", "[a]", "{a: b}", "", "null", "1"]), st.text(max_size=12))


@given(st.dictionaries(NAMES.map("REGISTRY_{}".format), VALUES, max_size=6))
def test_whatever_the_environment_says_it_is_laid_over_or_refused(environ: dict[str, str]) -> None:
    document = yaml.safe_load(FILE)
    try:
        _, warnings = overlay(document, environ)
    except ConfigError as error:
        assert str(error).partition(":")[0] in environ  # noqa: PT017 - the text of this error is its interface
    else:
        assert len(warnings) <= len(environ)
