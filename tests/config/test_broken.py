"""Configs that cannot be meant: each ends the start with status 2 and a line that names key, value, expectation."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from tests.config.recipes import Place, Recipe
from tests.config.starting import Start

LEAST = "version: 0.1\nstorage: {filesystem: {rootdirectory: /data}}\n"
HTTP = LEAST + "http:\n  addr: :5000\n"


@dataclass(frozen=True)
class Broken:
    """A file with its environment, and the message about it."""

    text: str
    said: str
    environment: Mapping[str, str] = field(default_factory=dict)


def of(said: str, more: str = "", start: str = HTTP, **environment: str) -> Broken:
    """A file that would be good without `more`."""
    return Broken(start + more, said, environment)


LAUGHS = "a: &a [ha, ha, ha, ha, ha, ha, ha, ha, ha]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: v}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
NO_UNIT = "; give a unit (30s, 24h), as a number without one is nanoseconds"
TEXT = "text, in quotes where it looks like something else"
DURATION = "a duration such as 10s, 1h30m or 500ms"

BROKEN: dict[str, Broken] = {
    "nothing": Broken("", "the file: null, expected a map of sections"),
    "comments only": Broken("# later\n", "the file: null, expected a map of sections"),
    "a list of sections": Broken("- version: 0.1\n", "the file: a list, expected a map of sections"),
    "a tab": of(
        "not YAML: while scanning for the next token, found character '\\t' that cannot start any token, "
        "line 5, column 1",
        "\tprefix: /x/\n",
    ),
    "a bracket that is not closed": of(
        "not YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>', line 6, column 1",
        "  headers: {X: [a\n",
    ),
    "a password that is no YAML": of(
        "REGISTRY_HTTP_SECRET: not YAML: while scanning for the next token, found "
        "character '@' that cannot start any token, line 1, column 1",
        REGISTRY_HTTP_SECRET="@hunter2",
    ),
    "lists of lists of lists": Broken(LAUGHS, "not usable YAML: its anchors stand for more than 100000 values"),
    "maps merged into maps": Broken(MERGES, "not usable YAML: its anchors stand for more than 100000 values"),
    "lists of lists in a variable": of(
        "REGISTRY_LOG_FIELDS: not usable YAML: its anchors stand for more than 100000 values",
        REGISTRY_LOG_FIELDS="{" + LAUGHS.replace("\n", ", ") + "}",
    ),
    "a map that contains itself": of(
        "not usable YAML: an anchor contains itself, line 5", "log: &log {fields: *log}\n"
    ),
    "a section that is given twice": of(
        "the key 'http' is given twice, in lines 3 and 7", "  tls: {minimumtls: tls1.3}\n\nhttp:\n  addr: :5001\n"
    ),
    "a key that is given twice in a section": of(
        "the key 'prefix' is given twice, in lines 5 and 6", "  prefix: /a/\n  prefix: /b/\n"
    ),
    "a key that is given twice in a line": of(
        "the key 'a' is given twice, in lines 5 and 5", "log: {fields: {a: 1, a: 1}}\n"
    ),
    "a key that is given twice in a list": of(
        "the key 'file' is given twice, in lines 7 and 8", "health:\n  file:\n  - file: /a\n    file: /b\n"
    ),
    "a key that is given twice in two spellings": of(
        "the key '1' is given twice, in lines 6 and 7", "log:\n  fields: {1: a,\n    '1': b}\n"
    ),
    "a key that is given twice below an anchor": of(
        "the key 'a' is given twice, in lines 5 and 5", "log: &log {fields: {a: 1, a: 2}}\nx: *log\n"
    ),
    "a rule with two lists of callers": of(
        "the key 'who' is given twice, in lines 7 and 8",
        "pyregistry:\n  access:\n  - {repositories: '**', who: admin,\n     who: everyone, actions: pull}\n",
    ),
    "a key that is given twice in a variable": of(
        "REGISTRY_HTTP_TLS: the key 'minimumtls' is given twice, in lines 1 and 1",
        REGISTRY_HTTP_TLS="{minimumtls: tls1.3, minimumtls: tls1.2}",
    ),
    "brackets deeper than any config": Broken("[" * 102 + "]" * 102, "not usable YAML: the nesting is too deep"),
    "lists deeper than any config": Broken("- " * 102 + "a", "not usable YAML: the nesting is too deep"),
    "very deep brackets": Broken("[" * 20_000, "not usable YAML: the nesting is too deep"),
    "no version": Broken("storage: {filesystem: {rootdirectory: /data}}\n", "version: missing, expected 0.1"),
    "another version": Broken(LEAST.replace("0.1", "0.2"), 'version: "0.2", expected 0.1'),
    "the version of the image": Broken(LEAST.replace("0.1", "2.8.3"), 'version: "2.8.3", expected 0.1'),
    "a whole number as version": Broken(LEAST.replace("0.1", "1"), "version: 1, expected 0.1"),
    "no storage": Broken("version: 0.1\n", "storage: exactly one driver is needed, found none"),
    "two drivers": of(
        "storage: exactly one driver is needed, found filesystem, inmemory", start=LEAST.replace("}}", "}, inmemory: }")
    ),
    "a second driver by a variable": of(
        "storage: exactly one driver is needed, found filesystem, s3", REGISTRY_STORAGE_S3_BUCKET="b"
    ),
    "s3": Broken(
        "version: 0.1\nstorage: {s3: {region: eu-central-1, bucket: registry, accesskey: A, secretkey: hunter2}}\n",
        "storage.s3: this driver is not supported, expected filesystem or inmemory",
    ),
    "azure by a variable": of(
        "storage.azure: this driver is not supported, expected filesystem or inmemory", REGISTRY_STORAGE="azure"
    ),
    "a storage section that is a list": Broken(
        "version: 0.1\nstorage: [filesystem]\n", "storage: exactly one driver is needed, found none"
    ),
    "a directory that is empty": of(
        'storage.filesystem.rootdirectory: "", expected the path of a directory',
        REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="''",
    ),
    "a directory with a NUL in its name": of(
        'storage.filesystem.rootdirectory: "r\\u0000", expected the path of a directory',
        REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY='"r\\0"',
    ),
    "a truth value in quotes": of(
        'storage.delete.enabled: "true", expected true or false',
        start=LEAST.replace("}}", "}, delete: {enabled: 'true'}}"),
    ),
    "a truth value where a section belongs": of(
        "storage.delete: true, expected a map of keys", REGISTRY_STORAGE_DELETE="true"
    ),
    "an age without a unit": of(
        f'storage.maintenance.uploadpurging.age: "24ns", expected 1s or more{NO_UNIT}',
        REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_AGE="24",
    ),
    "days": of(
        f'storage.maintenance.uploadpurging.age: "7d", expected {DURATION}',
        REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_AGE="7d",
    ),
    "no time between two purges": of(
        'storage.maintenance.uploadpurging.interval: "0s", expected 1s or more',
        REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_INTERVAL="0s",
    ),
    "a cache of another registry": of(
        "proxy: a pull-through cache is not supported; this key cannot be ignored safely",
        "proxy: {remoteurl: https://registry-1.docker.io, username: u, password: hunter2}\n",
    ),
    "auth of an unknown kind": of(
        "auth.ldap: this kind is not supported, expected htpasswd or token", "auth: {ldap: {}}\n"
    ),
    "two kinds of auth": of(
        "auth: at most one kind, found htpasswd, silly",
        "auth: {htpasswd: {realm: r, path: /auth/htpasswd}, silly: {realm: r, service: s}}\n",
    ),
    "metrics at no path": of(
        'http.debug.prometheus.path: "metrics", expected a path such as /metrics',
        "  debug: {prometheus: {path: metrics}}\n",
    ),
    "metrics at a pattern": of(
        'http.debug.prometheus.path: "/m{etrics", expected a path such as /metrics',
        '  debug: {prometheus: {path: "/m{etrics"}}\n',
    ),
    "metrics where the health is": of(
        'http.debug.prometheus.path: "/debug/health", expected a path such as /metrics',
        "  debug: {prometheus: {path: /debug/health}}\n",
    ),
    "a realm with a control character": of(
        'auth.silly.realm: "a\\u0007", expected text without control characters',
        'auth: {silly: {realm: "a\\x07", service: s}}\n',
    ),
    "a warning with a control character": of(
        'pyregistry.warnings[0]: "a\\u0007", expected text without control characters',
        'pyregistry: {warnings: ["a\\x07"]}\n',
    ),
    "htpasswd without a path": of(f"auth.htpasswd.path: missing, expected {TEXT}", "auth: {htpasswd: {realm: r}}\n"),
    "htpasswd that is nowhere": of(
        "auth.htpasswd.path: {directory}/auth/none: No such file or directory",
        "auth: {htpasswd: {realm: r, path: /auth/none}}\n",
    ),
    "a level that does not exist": of(
        'log.level: "trace", expected one of error, warn, warning, info, debug', REGISTRY_LOG_LEVEL="trace"
    ),
    "a formatter that does not exist": of(
        'log.formatter: "xml", expected one of text, json, logstash', "log: {formatter: xml}\n"
    ),
    "a section that is a word": of('log: "debug", expected a map of keys', "log: debug\n"),
    "an address that is a number": of(f"http.addr: 5000, expected {TEXT}", start=LEAST + "http: {addr: 5000}\n"),
    "an address without a port": of("http.addr: '0.0.0.0', expected HOST:PORT or :PORT", REGISTRY_HTTP_ADDR="0.0.0.0"),
    "a port that does not exist": of("http.addr: ':65536', expected HOST:PORT or :PORT", REGISTRY_HTTP_ADDR=":65536"),
    "a host of another scheme": of(
        'http.host: "ftp://registry.example.org", expected a URL such as https://registry.example.org',
        "  host: ftp://registry.example.org\n",
    ),
    "a prefix that is no path": of(
        'http.prefix: "registry/", expected a path such as /registry/', "  prefix: registry/\n"
    ),
    "a network that does not exist": of('http.net: "udp", expected one of tcp, unix', "  net: udp\n"),
    "a header that is no list": of(
        'http.headers.X-Frame-Options: "DENY", expected a list', "  headers: {A: [b], X-Frame-Options: DENY}\n"
    ),
    "a header that cannot be sent": of(
        'http.headers: "X Frame", expected the name of a header', "  headers: {X Frame: [DENY]}\n"
    ),
    "a header that frames answers": of(
        'http.headers: "Content-Length", expected a header that does not frame the response, and is not Date',
        "  headers: {Content-Length: ['5']}\n",
    ),
    "a host with a line end": of(
        r'http.host: "https://a\r\nb", expected a URL such as https://registry.example.org',
        '  host: "https://a\\r\\nb"\n',
    ),
    "a drain time in words": of(f'http.draintimeout: "soon", expected {DURATION}', "  draintimeout: soon\n"),
    "a certificate without its key": of(
        'http.tls.key: "", expected the file of the certificate\'s key',
        REGISTRY_HTTP_TLS_CERTIFICATE="/certs/domain.crt",
    ),
    "a key without its certificate": of(
        'http.tls.key: "{directory}/certs/domain.key", expected http.tls.certificate as well',
        REGISTRY_HTTP_TLS_KEY="/certs/domain.key",
    ),
    "a key that is nowhere": of(
        "http.tls.key: {directory}/certs/none: No such file or directory",
        "  tls: {certificate: /certs/domain.crt, key: /certs/none}\n",
    ),
    "client certificates without an issuer": of(
        'http.tls.clientauth: "require-and-verify-client-cert", expected http.tls.clientcas as well',
        "  tls: {certificate: /certs/domain.crt, key: /certs/domain.key, clientauth: require-and-verify-client-cert}\n",
    ),
    "certificates from Let's Encrypt": of(
        "http.tls.letsencrypt: certificates are not fetched; give certificate and key, or put a proxy in front; "
        "this key cannot be ignored safely",
        "  tls: {letsencrypt: {cachefile: /certs/cache, email: a@example.org, hosts: [example.org]}}\n",
    ),
    "TLS of the last century": of(
        'http.tls.minimumtls: "ssl3", expected one of tls1.0, tls1.1, tls1.2, tls1.3', "  tls: {minimumtls: ssl3}\n"
    ),
    "a page that is negative": of("tags.maxtags: -1, expected 0 or more", "tags: {maxtags: -1}\n"),
    "a page in words": of('catalog.maxentries: "many", expected a whole number', "catalog: {maxentries: many}\n"),
    "an expression that is none": of(
        "validation.manifests.urls.allow: '[': missing ]: [",
        "validation: {manifests: {urls: {allow: ['[']}}}\n",
    ),
    "platforms that do not exist": of(
        'validation.manifests.indexes.platforms: "some", expected one of all, none, list',
        "validation: {manifests: {indexes: {platforms: some}}}\n",
    ),
    "a list where a map belongs": of(
        'validation.manifests.indexes.platformlist[0]: "linux/amd64", expected a map of keys',
        "validation: {manifests: {indexes: {platforms: list, platformlist: [linux/amd64]}}}\n",
    ),
    "an index behind the end of a list": of(
        "REGISTRY_NOTIFICATIONS_ENDPOINTS_1_URL: the list has 0 items, so index 1 is past its end",
        REGISTRY_NOTIFICATIONS_ENDPOINTS_1_URL="http://x",
    ),
    "a drain time without a unit": of(
        f'http.draintimeout: "30ns", expected 0, or 0.001s or more{NO_UNIT}',
        "  draintimeout: 30\n",
    ),
    "a drain time below nothing": of(
        f'http.draintimeout: "-1ns", expected 0, or 0.001s or more{NO_UNIT}',
        "  draintimeout: -1\n",
    ),
    "a look at the storage every ten nanoseconds": of(
        f'health.storagedriver.interval: "10ns", expected 0, or 0.001s or more{NO_UNIT}',
        "health: {storagedriver: {enabled: true, interval: 10, threshold: 3}}\n",
    ),
    "a look at a file every ten nanoseconds": of(
        f'health.file[1].interval: "10ns", expected 0, or 0.001s or more{NO_UNIT}',
        "health: {file: [{file: /a}, {file: /b, interval: 10}]}\n",
    ),
    "three nanoseconds for an answer": of(
        f'health.http[0].timeout: "3ns", expected 0, or 0.001s or more{NO_UNIT}',
        "health: {http: [{uri: 'http://a.test/', timeout: 3}]}\n",
    ),
    "a minute without a unit": of(
        f'health.tcp[0].interval: "60ns", expected 0, or 0.001s or more{NO_UNIT}',
        "health: {tcp: [{addr: 'a.test:1', interval: 60}]}\n",
    ),
    "a day without a unit": of(
        f'pyregistry.gc.interval: "24ns", expected 0, or 1s or more{NO_UNIT}',
        "pyregistry: {gc: {interval: 24}}\n",
    ),
    "a grace without a unit": of(
        f'pyregistry.gc.grace: "3600ns", expected 0, or 1s or more{NO_UNIT}',
        "pyregistry: {gc: {grace: 3600}}\n",
    ),
    "a proxy that is a name": of(
        'pyregistry.trusted-proxies[1]: "proxy.test", expected an address, a network such as 10.0.0.0/8, or unix',
        "pyregistry: {trusted-proxies: [10.0.0.1, proxy.test]}\n",
    ),
    "a network of proxies with bits of a host": of(
        'pyregistry.trusted-proxies[0]: "10.0.0.1/8", expected an address, a network such as 10.0.0.0/8, or unix',
        REGISTRY_PYREGISTRY_TRUSTEDPROXIES="[10.0.0.1/8]",
    ),
    "a proxy that is no list": of(
        'pyregistry.trusted-proxies: "10.0.0.1", expected a list', REGISTRY_PYREGISTRY_TRUSTEDPROXIES="10.0.0.1"
    ),
    "a platform that is half of one": of(
        'pyregistry.default-platform: "amd64", expected an operating system and an architecture, such as linux/amd64',
        REGISTRY_PYREGISTRY_DEFAULTPLATFORM="amd64",
    ),
    "a platform with a variant": of(
        'pyregistry.default-platform: "linux/arm/v7", expected an operating system and an architecture, such as '
        "linux/amd64",
        "pyregistry: {default-platform: linux/arm/v7}\n",
    ),
    "a limit of nothing": of(
        "pyregistry.limits.connections: 0, expected more than 0", "pyregistry: {limits: {connections: 0}}\n"
    ),
    "a time without an end": of(
        'pyregistry.limits.keepalive: "inf", expected a number that is finite',
        "pyregistry: {limits: {keepalive: .inf}}\n",
    ),
    "a null in a list of words": of(f"http.headers.X[1]: null, expected {TEXT}", "  headers: {A: [b], X: [b, ~]}\n"),
    "a null among names of files": of(
        f"http.tls.clientcas[0]: null, expected {TEXT}",
        "  tls: {certificate: /certs/domain.crt, key: /certs/domain.key, clientcas: [~]}\n",
    ),
    "a null among checks": of("health.file[1]: null, expected a map of keys", "health: {file: [{file: /a}, ~]}\n"),
    "a null in a group": of(
        f"pyregistry.groups.a[0]: null, expected {TEXT}", "pyregistry: {access: [], groups: {a: [~]}}\n"
    ),
    "a second document": of(
        "a second document begins after ---, line 6: only one can be used", "---\nlog: {level: debug}\n"
    ),
    "rules that are a map": of(
        "pyregistry.access: a map, expected a list of rules, or the path of a file of rules",
        "pyregistry: {access: {repositories: '**', who: everyone, actions: pull}}\n",
    ),
    "a rate below nothing": of(
        "pyregistry.limits.send-rate: -1.0, expected 0 or more", "pyregistry: {limits: {send-rate: -1}}\n"
    ),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_config_is_refused_in_one_line_with_key_and_value_and_expectation(
    place: Place, broken: Broken
) -> None:
    config, environment, _ = place.put(Recipe(broken.text, broken.environment))
    with Start(config, environment) as start:
        status = start.status()
    *warnings, refusal = start.output().splitlines()
    assert refusal == f"pyregistry: {config}: {broken.said.replace('{directory}', str(config.parent))}"
    assert status == 2
    assert all(line.startswith("warning: ") for line in warnings)
    assert "hunter2" not in start.output()


def test_a_config_in_another_encoding_is_refused(place: Place) -> None:
    config, _, _ = place.put(Recipe(LEAST))
    config.write_bytes("log: {fields: {ort: Köln}}\n".encode("latin-1") + LEAST.encode())
    with Start(config, {}) as start:
        assert start.status() == 2
    assert start.output().count("\n") == 1
    assert start.output().startswith(f"pyregistry: {config}: ")
    assert "utf-8" in start.output()
