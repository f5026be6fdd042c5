"""From text and environment to a Config: defaults, spellings, and refusals that name the key."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyregistry.config.errors import ConfigError
from pyregistry.config.load import load, parse
from pyregistry.config.schema import Auth, Config, Filesystem, Htpasswd, InMemory, Storage
from pyregistry.service.wiring import create_policy

SAMPLE = Path(__file__).parents[2] / "config" / "config.yml"
LEAST = "version: 0.1\nstorage: {filesystem: {}}\n"


def config_of(text: str, **environ: str) -> Config:
    return parse(text, environ)[0]


def value_at(config: object, path: str) -> Any:
    for name in path.split("."):
        config = getattr(config, name)
    return config


DEFAULTS = {
    "storage.filesystem.root_directory": "/var/lib/registry",
    "storage.delete.enabled": False,
    "storage.maintenance.readonly.enabled": False,
    "log.level": "info",
    "log.formatter": "text",
    "log.fields": {},
    "log.access_log.disabled": False,
    "auth.htpasswd": None,
    "http.addr": ":5000",
    "http.host": "",
    "http.prefix": "",
    "http.headers": {},
    "catalog.max_entries": 1000,
    "tags.max_tags": 1000,
    "validation.disabled": False,
    "validation.manifests.indexes.platforms": "all",
    "pyregistry.workers": 0,
    "pyregistry.sparse": False,
    "pyregistry.fast_path": True,
    "pyregistry.warnings": [],
    "pyregistry.limits.manifest_size": 4 * 1024 * 1024,
    "pyregistry.limits.blob_size": 100 * 1024**3,
}


@pytest.mark.parametrize(("path", "value"), DEFAULTS.items(), ids=DEFAULTS.keys())
def test_a_key_that_is_not_set_has_its_default(path: str, value: object) -> None:
    assert value_at(config_of(LEAST), path) == value


SPELLINGS: dict[str, tuple[str, str, object]] = {
    "a version as a number": ("version: 0.1", "version", "0.1"),
    "a version as a word": ("version: '0.1'", "version", "0.1"),
    "a driver as a word": ("storage: inmemory", "storage", Storage(inmemory=InMemory())),
    "a driver without parameters": ("storage: {filesystem: }", "storage.filesystem", Filesystem()),
    "a driver with parameters": (
        "storage: {filesystem: {rootdirectory: /x}}",
        "storage.filesystem.root_directory",
        "/x",
    ),
    "deletion": ("storage: {inmemory: {}, delete: {enabled: true}}", "storage.delete.enabled", True),
    "deletion without a value": ("storage: {inmemory: {}, delete: }", "storage.delete.enabled", False),
    "keys that are not carried out": (
        "storage: {inmemory: {}, cache: {blobdescriptor: redis}}",
        "storage.delete.enabled",
        False,
    ),
    "a section without a value": ("http:", "http.addr", ":5000"),
    "a value that is null": ("http: {addr: , headers: }", "http.addr", ":5000"),
    "a section of a section without a value": ("log: {accesslog: , level: debug}", "log.access_log.disabled", False),
    "auth without a value": ("auth:", "auth", Auth()),
    "auth": ("auth: {htpasswd: {realm: r, path: /p}}", "auth.htpasswd", Htpasswd("r", "/p")),
    "a level in capitals": ("log: {level: DEBUG}", "log.level", "debug"),
    "a level in its old place": ("loglevel: Error", "log.level", "error"),
    "a level in both places": ("loglevel: error\nlog: {level: debug}", "log.level", "debug"),
    "a header that is true": (
        "http: {headers: {Access-Control-Allow-Credentials: [true]}}",
        "http.headers",
        {"Access-Control-Allow-Credentials": ["true"]},
    ),
    "a header that is a number": (
        "http: {headers: {Access-Control-Max-Age: [1728000]}}",
        "http.headers",
        {"Access-Control-Max-Age": ["1728000"]},
    ),
    "an unknown section": ("whatever: [1, {a: b}]", "http.addr", ":5000"),
    "fields of any type": ("log: {fields: {a: 1, b: [x]}}", "log.fields", {"a": 1, "b": ["x"]}),
    "the ordinary way for all requests": ("pyregistry: {fast-path: false}", "pyregistry.fast_path", False),
    "our own section": ("pyregistry: {limits: {blob-size: 7}, sparse: true}", "pyregistry.limits.blob_size", 7),
}


@pytest.mark.parametrize(("text", "path", "value"), SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_file_may_have(text: str, path: str, value: object) -> None:
    lines = [line for line in LEAST.splitlines() if line.partition(":")[0] != text.partition(":")[0]]
    assert value_at(config_of("\n".join([*lines, text])), path) == value


REFUSED: dict[str, tuple[str, str]] = {
    "no text": ("", "map"),
    "a word": ("registry", "map"),
    "a list": ("- version: 0.1", "map"),
    "what is not YAML": ("a: b: c", "YAML"),
    "a date that is none": ("version: 2001-99-99", "YAML"),
    "a mapping that contains itself": (LEAST + "log: &log {fields: *log}", "itself"),
    "no version": ("storage: inmemory", "version"),
    "another version": ("version: 0.2\nstorage: inmemory", "version"),
    "a version that is a whole number": ("version: 1\nstorage: inmemory", "version"),
    "no storage": ("version: 0.1", "storage"),
    "storage without a driver": ("version: 0.1\nstorage: {delete: {enabled: true}}", "storage: exactly one"),
    "storage that is null": ("version: 0.1\nstorage:", "storage"),
    "an unknown driver": ("version: 0.1\nstorage: floppy", "storage: exactly one"),
    "two drivers": ("version: 0.1\nstorage: {filesystem: {}, inmemory: {}}", "filesystem, inmemory"),
    "two drivers, one without parameters": (
        "version: 0.1\nstorage: {filesystem: , inmemory: }",
        "filesystem, inmemory",
    ),
    "a driver that is not supported": ("version: 0.1\nstorage: {s3: {bucket: b}}", "storage.s3"),
    "a directory that is a number": ("version: 0.1\nstorage: {filesystem: {rootdirectory: 5}}", "rootdirectory"),
    "a truth value in quotes": (LEAST.replace("}}", "}, delete: {enabled: 'yes'}}"), "storage.delete.enabled"),
    "a driver as a word that is not supported, whose data would be gone": ("version: 0.1\nstorage: s3", "storage.s3"),
    "a driver without parameters that is not supported": ("version: 0.1\nstorage: {gcs: }", "storage.gcs"),
    "token auth as a word, which would let all callers in": (LEAST + "auth: token", "auth.token"),
    "token auth without parameters, which would let all callers in": (LEAST + "auth: {token: {}}", "auth.token"),
    "a typing error in auth, which would let all callers in": (LEAST + "auth: {htpaswd: {path: p}}", "auth.htpaswd"),
    "auth of an unknown kind, which would let all callers in": (LEAST + "auth: foo", "auth.foo"),
    "token auth": (LEAST + "auth: {token: {realm: r}}", "auth.token"),
    "silly auth without parameters": (LEAST + "auth: silly", "auth.silly"),
    "two kinds of auth": (LEAST + "auth: {htpasswd: {realm: r, path: p}, token: {}}", "token"),
    "htpasswd as a word, which would let all callers in": (LEAST + "auth: htpasswd", "auth.htpasswd"),
    "htpasswd without parameters, which would let all callers in": (LEAST + "auth: {htpasswd: }", "auth.htpasswd"),
    "htpasswd without a path": (LEAST + "auth: {htpasswd: {realm: r}}", "path"),
    "htpasswd whose path is null": (LEAST + "auth: {htpasswd: {realm: r, path: }}", "path"),
    "a pull-through cache": (LEAST + "proxy: {remoteurl: 'https://registry-1.docker.io'}", "proxy"),
    "a level that does not exist": (LEAST + "log: {level: trace}", "log.level"),
    "a formatter that does not exist": (LEAST + "log: {formatter: xml}", "log.formatter"),
    "an address that is a number": (LEAST + "http: {addr: 5000}", "http.addr"),
    "a header that is no list": (LEAST + "http: {headers: {X: y}}", "http.headers"),
    "a header that is a list of lists": (LEAST + "http: {headers: {X: [[y]]}}", "http.headers"),
    "a section that is a list": (LEAST + "http: [addr]", "http"),
    "a section that is a word": (LEAST + "log: debug", "log"),
    "a number in words": (LEAST + "catalog: {maxentries: many}", "catalog.maxentries"),
    "platforms that do not exist": (LEAST + "validation: {manifests: {indexes: {platforms: some}}}", "platforms"),
    "a limit in words": (LEAST + "pyregistry: {limits: {blob-size: 10GB}}", "pyregistry.limits"),
}


@pytest.mark.parametrize(("text", "named"), REFUSED.values(), ids=REFUSED.keys())
def test_a_file_is_refused_and_the_key_named(text: str, named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text, {})
    assert named in str(refused.value)


RECIPES: dict[str, tuple[dict[str, str], str, object]] = {
    "htpasswd by variables alone": (
        {"REGISTRY_AUTH": "htpasswd", "REGISTRY_AUTH_HTPASSWD_REALM": "A Realm", "REGISTRY_AUTH_HTPASSWD_PATH": "/p"},
        "auth.htpasswd",
        Htpasswd("A Realm", "/p"),
    ),
    "another driver": ({"REGISTRY_STORAGE": "inmemory"}, "storage.filesystem", None),
    "another directory": (
        {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/x"},
        "storage.filesystem.root_directory",
        "/x",
    ),
    "deletion": ({"REGISTRY_STORAGE_DELETE_ENABLED": "true"}, "storage.delete.enabled", True),
    "read-only": (
        {"REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED": "true"},
        "storage.maintenance.readonly.enabled",
        True,
    ),
    "a level": ({"REGISTRY_LOG_LEVEL": "DEBUG"}, "log.level", "debug"),
    "a header": (
        {"REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin": "['*']"},
        "http.headers",
        {"access-control-allow-origin": ["*"]},
    ),
    "an empty variable": ({"REGISTRY_HTTP_HOST": ""}, "http.host", ""),
    "what Kubernetes sets for registry-auth": ({"REGISTRY_AUTH_SERVICE_HOST": "10.0.0.1"}, "auth", Auth()),
}


@pytest.mark.parametrize(("environ", "path", "value"), RECIPES.values(), ids=RECIPES.keys())
def test_the_environment_may_say(environ: dict[str, str], path: str, value: object) -> None:
    assert value_at(config_of(LEAST, **environ), path) == value


def test_a_second_driver_from_the_environment_is_refused() -> None:
    with pytest.raises(ConfigError, match="filesystem, s3"):
        parse(LEAST, {"REGISTRY_STORAGE_S3_BUCKET": "b"})


def test_a_value_of_the_wrong_type_in_the_environment_is_refused_with_its_key() -> None:
    with pytest.raises(ConfigError, match=r"storage\.delete\.enabled"):
        parse(LEAST, {"REGISTRY_STORAGE_DELETE_ENABLED": "perhaps"})


@pytest.mark.parametrize("host", ["registry.example.org", "registry.example.org:5000", "10.0.0.1:5000"])
def test_a_host_that_is_no_url_is_not_used_and_warned_of(host: str) -> None:
    config, warnings = parse(f"{LEAST}http: {{host: '{host}'}}\n", {})
    assert config.http.host == ""
    assert warnings == [f'http.host: "{host}" is not a URL such as https://{host}, and not used']
    config, warnings = parse(LEAST, {"REGISTRY_HTTP_HOST": host})
    assert (config.http.host, len(warnings)) == ("", 1)


def test_warnings_about_the_environment_are_handed_on() -> None:
    assert parse(LEAST, {"REGISTRY_PORT": "tcp://10.0.0.1:5000"})[1] != []
    assert parse(LEAST, {})[1] == []


def test_the_sample_config_works_and_says_what_the_readme_promises() -> None:
    config, warnings = load(SAMPLE, {})
    assert warnings == []
    assert config.storage.filesystem == Filesystem("./storage")
    assert config.storage.delete.enabled
    assert config.http.addr == "127.0.0.1:5000"
    assert config.auth.htpasswd is None


def test_the_commented_part_of_the_sample_config_works_as_well() -> None:
    head, _, commented = SAMPLE.read_text().partition("# auth:")
    text = head + "auth:" + commented.replace("\n# ", "\n")
    htpasswd = config_of(text).auth.htpasswd
    assert htpasswd is not None
    assert htpasswd.realm == "Registry Realm"
    policy = create_policy(config_of(text))
    assert policy is not None
    assert policy.lets_anonymous_in()


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^No such file or directory$"):
        load(tmp_path / "missing.yml", {})


def test_a_directory_instead_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path, {})


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_bytes(b"version: \xff")
    with pytest.raises(ConfigError, match=r"^not utf-8: "):
        load(tmp_path / "config.yml", {})


VALUES = st.recursive(
    st.one_of(
        st.sampled_from(["", "true", "0.1", "[]", "filesystem", "2001-01-01", "1:2", "~"]),
        st.text("a&*!-01:{}[]'\n", max_size=6),
    ),
    lambda inner: st.dictionaries(
        st.sampled_from(["level", "addr", "headers", "htpasswd", "filesystem", "x"]), inner, max_size=3
    ).map(lambda members: "{" + ", ".join(f"{key}: {value}" for key, value in members.items()) + "}"),
    max_leaves=4,
)
SECTIONS = st.sampled_from(["version", "storage", "log", "http", "auth", "catalog", "pyregistry", "proxy", "loglevel"])


@given(st.one_of(st.text(max_size=30), st.dictionaries(SECTIONS, VALUES, max_size=4)))
@settings(max_examples=300)
def test_whatever_the_file_says_it_is_a_config_or_refused(document: str | dict[str, str]) -> None:
    if isinstance(document, str):
        text = document
    else:
        text = LEAST + "\n".join(f"{key}: {value}" for key, value in document.items())
    try:
        config = config_of(text)
    except ConfigError as error:
        assert str(error)  # noqa: PT017 - an empty refusal helps no operator
    else:
        assert config.version == "0.1"
        assert (config.storage.filesystem is None) != (config.storage.inmemory is None)


def test_merges_and_their_overrides_are_no_repeated_keys() -> None:
    text = """
version: 0.1
storage: {filesystem: {}}
health:
  file:
  - &every {file: /a, threshold: 3, interval: 5s}
  - {<<: *every, file: /b}
  - {<<: [*every, {threshold: 9}], file: /c}
  - <<: *every
    <<: {threshold: 4}
    file: /d
"""
    checks = config_of(text).health.file
    assert [check.file for check in checks] == ["/a", "/b", "/c", "/d"]
    assert {check.interval for check in checks} == {5.0}


TOKENS = """
version: 0.1
storage: {filesystem: {}}
auth: {htpasswd: {realm: r, path: /auth/htpasswd}}
pyregistry: {access: [{repositories: "**", who: everyone, actions: pull}]}
"""


@pytest.mark.parametrize(
    ("environ", "warns"),
    [
        ({}, True),
        ({"REGISTRY_HTTP_ADDR": "127.0.0.1:5000"}, True),
        ({"REGISTRY_HTTP_HOST": "https://registry.example.org"}, False),
        ({"REGISTRY_HTTP_TLS_CERTIFICATE": "/c", "REGISTRY_HTTP_TLS_KEY": "/k"}, False),
    ],
)
def test_a_start_that_makes_tokens_without_tls_and_host_warns(environ: dict[str, str], warns: bool) -> None:
    _, warnings = parse(TOKENS, environ)
    assert any("the address of tokens" in warning for warning in warnings) == warns
    _, warnings = parse(LEAST, environ)
    assert not any("the address of tokens" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("value", "proxies"),
    [
        (
            "[127.0.0.1, 10.0.0.0/8, '::1', 2001:db8::/32, unix]",
            ["127.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32", "unix"],
        ),
        ("[]", []),
        ("", None),
    ],
)
def test_trusted_proxies_can_be_given_by_a_variable(value: str, proxies: list[str] | None) -> None:
    assert config_of(LEAST, REGISTRY_PYREGISTRY_TRUSTEDPROXIES=value).pyregistry.trusted_proxies == proxies
