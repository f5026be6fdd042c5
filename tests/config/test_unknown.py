"""Keys and variables that do not exist: those that were to keep callers out are refused, others are named."""

import pytest

from pyregistry.config.errors import ConfigError
from pyregistry.config.load import parse

LEAST = "version: 0.1\nstorage: {inmemory: {}}\n"
AUTH = "auth: {htpasswd: {realm: r, path: /p}}\n"
PASSWORDS = "{htpasswd: {realm: r, path: /p}}"
RULES = "[{repositories: '**', who: everyone, actions: pull}]"
TLS = "certificate: /c, key: /k"

REFUSED = {
    f"authh: {PASSWORDS}": "authh: there is no such key; did you mean auth?",
    f"Auth: {PASSWORDS}": "Auth: there is no such key; did you mean auth?",
    f"atuh: {PASSWORDS}": "atuh: there is no such key; did you mean auth?",
    f"aith: {PASSWORDS}": "aith: there is no such key; did you mean auth?",
    f"aut: {PASSWORDS}": "aut: there is no such key; did you mean auth?",
    f"oauth: {PASSWORDS}": "oauth: there is no such key; did you mean auth?",
    f"authentication: {PASSWORDS}": "authentication: there is no such key; did you mean auth?",
    "authh:": "authh: there is no such key; did you mean auth?",
    "htpasswd: {realm: r, path: /p}": "htpasswd: there is no such key; did you mean auth.htpasswd?",
    "htpaswd: {realm: r, path: /p}": "htpaswd: there is no such key; did you mean auth.htpasswd?",
    "token: {realm: r}": "token: there is no such key; did you mean auth.token?",
    f"http: {{auth: {PASSWORDS}}}": "http.auth: there is no such key; did you mean auth?",
    "log: {htpasswd: {}}": "log.htpasswd: there is no such key; did you mean auth.htpasswd?",
    f"pyregistery: {{access: {RULES}}}": "pyregistery: there is no such key; did you mean pyregistry?",
    f"py-registry: {{access: {RULES}}}": "py-registry: there is no such key; did you mean pyregistry?",
    f"access: {RULES}": "access: there is no such key; did you mean pyregistry.access?",
    "groups: {a: [b]}": "groups: there is no such key; did you mean pyregistry.groups?",
    f"{AUTH}pyregistry: {{acces: {RULES}}}": (
        "pyregistry.acces: there is no such key; did you mean pyregistry.access?"
    ),
    f"{AUTH}pyregistry: {{acces: }}": "pyregistry.acces: there is no such key; did you mean pyregistry.access?",
    f"{AUTH}pyregistry: {{Access: {RULES}}}": (
        "pyregistry.Access: there is no such key; did you mean pyregistry.access?"
    ),
    "pyregistry: {xyzzy: 1}": "pyregistry.xyzzy: there is no such key; remove it",
    "pyregistry: {xyzzy: false}": "pyregistry.xyzzy: there is no such key; remove it",
    "pyregistry: {limits: {blobsize: 1}}": (
        "pyregistry.limits.blobsize: there is no such key; did you mean pyregistry.limits.blob-size?"
    ),
    "pyregistry: {gc: {gracee: 1h}}": "pyregistry.gc.gracee: there is no such key; did you mean pyregistry.gc.grace?",
    "pyregistry: {trusted_proxies: []}": (
        "pyregistry.trusted_proxies: there is no such key; did you mean pyregistry.trusted-proxies?"
    ),
    f"{AUTH}pyregistry: {{access: [{{repositories: a, whoo: b, actions: pull}}]}}": (
        "pyregistry.access[0].whoo: there is no such key; did you mean pyregistry.access[0].who?"
    ),
    "auth: {htpaswd: {realm: r, path: /p}}": (
        "auth.htpaswd: this kind is not supported, expected htpasswd or token; did you mean auth.htpasswd?"
    ),
    "auth: {htpasswd: {realm: r, path: /p, pathh: /q}}": (
        "auth.htpasswd.pathh: there is no such key; did you mean auth.htpasswd.path?"
    ),
    "auth: {htpasswd: {realmm: r, realm: r, path: /p}}": (
        "auth.htpasswd.realmm: there is no such key; did you mean auth.htpasswd.realm?"
    ),
    "auth: {token: {realm: r, service: s, issuer: i, rootcertbundle: /b, signingalgoritms: [ES256]}}": (
        "auth.token.signingalgoritms: there is no such key; did you mean auth.token.signingalgorithms?"
    ),
    f"http: {{tls: {{{TLS}, clientca: [/ca]}}}}": (
        "http.tls.clientca: there is no such key; did you mean http.tls.clientcas?"
    ),
    f"http: {{tls: {{{TLS}, clientauths: verify-client-cert-if-given}}}}": (
        "http.tls.clientauths: there is no such key; did you mean http.tls.clientauth?"
    ),
    f"http: {{tsl: {{{TLS}, clientcas: [/ca]}}}}": "http.tsl: there is no such key; did you mean http.tls?",
}
IGNORED = {
    "x-auth: &a {htpasswd: {realm: r, path: /p}}\nauth: *a": "x-auth: ignored, there is no such key",
    ".auth: &a {htpasswd: {realm: r, path: /p}}\nauth: *a": ".auth: ignored, there is no such key",
    "_auth: &a {htpasswd: {realm: r, path: /p}}\nauth: *a": "_auth: ignored, there is no such key",
    "accesslog: {disabled: true}": "accesslog: ignored, there is no such key",
    "path: /x": "path: ignored, there is no such key",
    "auth: {htpasswd: {realm: r, path: /p, cost: 5}}": "auth.htpasswd.cost: ignored, there is no such key",
    f"http: {{tls: {{{TLS}, sessiontickets: true}}}}": "http.tls.sessiontickets: ignored, there is no such key",
    "log: {accesslogg: {disabled: true}}": (
        "log.accesslogg: ignored, there is no such key; did you mean log.accesslog?"
    ),
}


def reasons_of(text: str, **environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        parse(LEAST + text, environ)
    return refused.value.reasons


@pytest.mark.parametrize(("text", "reason"), REFUSED.items(), ids=REFUSED)
def test_a_key_is_refused_whose_loss_would_open_the_registry(text: str, reason: str) -> None:
    assert reasons_of(text) == (reason,)


@pytest.mark.parametrize(("text", "warning"), IGNORED.items(), ids=IGNORED)
def test_another_unknown_key_is_ignored_with_a_warning(text: str, warning: str) -> None:
    [said] = parse(LEAST + text, {})[1]
    assert said.startswith(warning)


REFUSED_VARIABLES = {
    "REGISTRY_AUTHH_HTPASSWD_REALM": ("r", "there is no such key: 'AUTHH'; did you mean REGISTRY_AUTH_HTPASSWD_REALM?"),
    "REGISTRY_AUHT": ("htpasswd", "there is no such key: 'AUHT'; did you mean REGISTRY_AUTH?"),
    "REGISTRY_AUTH_HTPASWD_PATH": (
        "/p",
        "there is no such key: 'HTPASWD'; did you mean REGISTRY_AUTH_HTPASSWD_PATH?",
    ),
    "REGISTRY_AUTH_HTPASSWD_PATHH": ("/p", "there is no such key: 'PATHH'; did you mean REGISTRY_AUTH_HTPASSWD_PATH?"),
    "REGISTRY_PYREGISTRY_ACCES": (RULES, "there is no such key: 'ACCES'; did you mean REGISTRY_PYREGISTRY_ACCESS?"),
    "REGISTRY_PYREGISTERY_ACCESS": (
        RULES,
        "there is no such key: 'PYREGISTERY'; did you mean REGISTRY_PYREGISTRY_ACCESS?",
    ),
    "REGISTRY_pyregistry_ACCESS": (
        RULES,
        "there is no such key: 'pyregistry'; did you mean REGISTRY_PYREGISTRY_ACCESS?",
    ),
    "REGISTRY_PYREGISTRY_access": (RULES, "there is no such key: 'access'; did you mean REGISTRY_PYREGISTRY_ACCESS?"),
    "REGISTRY_PYREGISTRY_LIMITS_BLOBSIZES": (
        "5",
        "there is no such key: 'BLOBSIZES'; did you mean REGISTRY_PYREGISTRY_LIMITS_BLOBSIZE?",
    ),
    "REGISTRY_PYREGISTRY_XYZZY": ("1", "there is no such key: 'XYZZY'; unset it"),
    "REGISTRY_PYREGISTRY_WORKERS_MAX": ("1", "there is nothing below this key: 'MAX'; unset it"),
    "REGISTRY_PYREGISTRY_WARNINGS_FIRST": ("a", "'FIRST' is no index of a list; unset it"),
    "REGISTRY_HTTP_TLS_CLIENTCA": (
        "[/ca]",
        "there is no such key: 'CLIENTCA'; did you mean REGISTRY_HTTP_TLS_CLIENTCAS?",
    ),
    "REGISTRY_HTTP_TLS_CLIENTCAS_FIRST": ("/ca", "'FIRST' is no index of a list; unset it"),
    "REGISTRY_HTTP_TSL_CLIENTCAS": ("[/ca]", "there is no such key: 'TSL'; did you mean REGISTRY_HTTP_TLS_CLIENTCAS?"),
}
FOREIGN = {
    "REGISTRY_AUTH_FILE": ("/run/containers/0/auth.json", "there is no such key: 'FILE'"),
    "REGISTRY_AUTHOR": ("alice", "there is no such key: 'AUTHOR'; did you mean REGISTRY_AUTH?"),
    "REGISTRY_PASSWORD": ("htpasswd", "there is no such key: 'PASSWORD'"),
    "REGISTRY_TOKEN": ("glpat-1234", "there is no such key: 'TOKEN'"),
    "REGISTRY_HTPASSWD": ("alice:$2y$05$x", "there is no such key: 'HTPASSWD'"),
    "REGISTRY_ACCESS_KEY": ("AKIA", "there is no such key: 'ACCESS'"),
    "REGISTRY_REGISTRY_URL": ("https://x", "there is no such key: 'REGISTRY'; did you mean REGISTRY_PYREGISTRY_URL?"),
    "REGISTRY_HTTP_ADR": (":80", "there is no such key: 'ADR'; did you mean REGISTRY_HTTP_ADDR?"),
    "REGISTRY_HTTP_addr": (":80", "there is no such key: 'addr'; did you mean REGISTRY_HTTP_ADDR?"),
    "REGISTRY_HEALTH_FILE_0_FIL": ("/x", "there is no such key: 'FIL'; did you mean REGISTRY_HEALTH_FILE_0_FILE?"),
}


@pytest.mark.parametrize("variable", REFUSED_VARIABLES)
def test_a_variable_is_refused_whose_loss_would_open_the_registry(variable: str) -> None:
    value, reason = REFUSED_VARIABLES[variable]
    assert f"{variable}: {reason}" in reasons_of("", **{variable: value})


@pytest.mark.parametrize("variable", FOREIGN)
def test_a_variable_of_another_program_is_ignored_with_a_warning(variable: str) -> None:
    value, warning = FOREIGN[variable]
    assert parse(LEAST, {variable: value})[1] == [f"{variable}: ignored, {warning}"]


def test_all_faults_are_said_in_one_run() -> None:
    text = """
loglevel: trace
authh: {}
log: {formatter: xml, fields: [a]}
http: {addr: 5000, prefix: registry, tls: {key: /k}, headers: {A: [b], X: [b, ~]}}
health: {file: [{interval: 1}, {file: 5}]}
catalog: {maxentries: many}
tags: {maxtags: -1}
proxy: {remoteurl: https://registry-1.docker.io}
pyregistry: {acces: [], limits: {blob-size: 0, connections: 0}}
"""
    reasons = reasons_of(text, REGISTRY_HTTP_SECRET="@", REGISTRY_PYREGISTRY_ACESS="[]")
    keys = [reason.partition(":")[0] for reason in reasons]
    assert sorted(keys) == sorted(
        [
            "REGISTRY_HTTP_SECRET",
            "REGISTRY_PYREGISTRY_ACESS",
            "authh",
            "proxy",
            "pyregistry.acces",
            "log.level",
            "log.formatter",
            "log.fields",
            "http.addr",
            "http.headers.X[1]",
            "http.prefix",
            "http.tls.key",
            "health.file[0].file",
            "health.file[1].file",
            "catalog.maxentries",
            "tags.maxtags",
            "pyregistry.limits.blob-size",
            "pyregistry.limits.connections",
        ]
    )


def test_a_fault_of_a_section_does_not_make_faults_of_keys_that_need_one_another() -> None:
    reasons = reasons_of("http: {tls: {certificate: 5, key: /k, clientcas: [/ca]}}\nauth: {htpasswd: {realm: r}}")
    assert [reason.partition(":")[0] for reason in reasons] == ["auth.htpasswd.path", "http.tls.certificate"]


WITHOUT_AUTH = {
    f"pyregistry: {{access: {RULES}}}": "warning",
    f"auth: {{}}\npyregistry: {{access: {RULES}}}": "warning",
    f"auth: none\npyregistry: {{access: {RULES}}}": "",
    f"{AUTH}http: {{host: 'https://a.test'}}\npyregistry: {{access: {RULES}}}": "",
    f"http: {{tls: {{{TLS}, clientcas: [/ca]}}}}\npyregistry: {{access: {RULES}}}": "",
    "pyregistry: {access: /etc/rules.yml}": "warning",
    "pyregistry: {access: [{repositories: '**', who: alice, actions: push}]}": "pyregistry.access[0].who",
    "auth: none\npyregistry: {access: [{repositories: '**', who: [everyone, authenticated], actions: push}]}": (
        "pyregistry.access[0].who"
    ),
    f"http: {{tls: {{{TLS}, clientcas: [/ca]}}}}\n"
    "pyregistry: {access: [{repositories: '**', who: 'group:a', actions: push}], groups: {a: [b]}}": (
        "pyregistry.access[0].who"
    ),
    f"{AUTH}pyregistry: {{groups: {{a: [b]}}}}": "pyregistry.groups",
}


@pytest.mark.parametrize(("text", "said"), WITHOUT_AUTH.items(), ids=WITHOUT_AUTH)
def test_rules_that_keep_no_caller_out_are_refused_or_warned_of(text: str, said: str) -> None:
    if said.startswith("pyregistry"):
        [reason] = reasons_of(text)
        assert reason.startswith(f"{said}: ")
        return
    warnings = [warning.partition(":")[0] for warning in parse(LEAST + text, {})[1]]
    assert warnings == (["pyregistry.access"] if said else [])
