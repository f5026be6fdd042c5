"""The manifests of config/kubernetes and the chart of config/helm: Kubernetes takes them, and so does the registry."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pyregistry import __version__
from pyregistry.config.load import load
from pyregistry.service.effective_settings import DRAIN_SECONDS
from tests.engine.client import Client
from tests.kubernetes.conftest import RELEASES, Schemas, documents
from tests.processes import SOURCE_TREE

MANIFESTS = SOURCE_TREE / "config/kubernetes"
CHART = SOURCE_TREE / "config/helm/pyregistry"
VALUES: dict[str, list[str]] = {
    "as they are": [],
    "public": ["host=registry.example.org", "htpasswd=alice:hash", "ingress.className="],
    "its own TLS": ["tlsSecret=cert", "existingHtpasswdSecret=users", "service.type=LoadBalancer", "service.port=443"],
    "little": ["metrics=false", "scrub.enabled=false", "persistence.existingClaim=data", "gcInterval=0s"],
    "much": [
        *("config.log.level=debug", "config.http.addr=:5000", "extraEnv[0].name=GOGC", "extraEnv[0].value=off"),
        *("nodeSelector.disk=ssd", "tolerations[0].operator=Exists", "imagePullSecrets[0].name=pull"),
        *("podAnnotations.a=b", "service.annotations.a=b", "persistence.storageClass=ssd", "persistence.keep=false"),
        *("affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
          ".matchExpressions[0].key=disk",
          "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
          ".matchExpressions[0].operator=Exists"),
        *("host=registry.example.org", "tlsSecret=cert", "fullnameOverride=registry", "existingHtpasswdSecret=users"),
    ],
}  # fmt: skip


def rendered(helm: Client, name: str) -> str:
    """The chart with some values."""
    settings = [word for value in VALUES[name] for word in ("--set", value)]
    return helm.run("template", "release", CHART, *settings)


def manifests() -> str:
    """The files as `kubectl apply -f` takes them."""
    return "\n---\n".join(path.read_text() for path in sorted(MANIFESTS.glob("*.yml")))


def pods(text: str) -> list[dict[str, Any]]:
    """The specs of all pods in a stream."""
    found: list[dict[str, Any]] = []
    for document in documents(text):
        holder = document["spec"]["jobTemplate"] if document["kind"] == "CronJob" else document
        if "template" in holder.get("spec", {}):
            found.append(holder["spec"]["template"]["spec"])
    return found


def assert_registry_takes_it(text: str, directory: Path) -> dict[str, Any]:
    """The config of the ConfigMap is one that the server takes without a warning; return it."""
    [config] = [document for document in documents(text) if document["kind"] == "ConfigMap"]
    path = directory / "config.yml"
    path.write_text(config["data"]["config.yml"])
    assert load(path, {})[1] == []
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


def assert_pods_are_closed_in_and_find_their_files(text: str) -> None:
    named = {(document["kind"], document["metadata"]["name"]) for document in documents(text)}
    for pod in pods(text):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
        [container] = pod["containers"]
        inside = container["securityContext"]
        assert (inside["readOnlyRootFilesystem"], inside["allowPrivilegeEscalation"]) == (True, False)
        assert inside["capabilities"] == {"drop": ["ALL"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        for volume in pod["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in named


@pytest.mark.parametrize("release", RELEASES)
def test_kubernetes_takes_the_manifests(schemas: Schemas, release: str) -> None:
    count = len(documents(manifests()))
    assert f"Valid: {count}, Invalid: 0, Errors: 0, Skipped: 0" in schemas.check(manifests(), release)


def test_a_key_that_kubernetes_does_not_know_is_found(schemas: Schemas) -> None:
    wrong = manifests().replace("readOnlyRootFilesystem", "readonlyRootFilesystem")
    with pytest.raises(AssertionError, match="additional properties 'readonlyRootFilesystem' not allowed"):
        schemas.check(wrong, RELEASES[-1])


def test_manifests_fit_each_other(tmp_path: Path) -> None:
    assert_pods_are_closed_in_and_find_their_files(manifests())
    config = assert_registry_takes_it(manifests(), tmp_path)
    [ingress] = [found for found in documents(manifests()) if found["kind"] == "Ingress"]
    assert config["http"]["host"] == f"https://{ingress['spec']['rules'][0]['host']}"
    assert set(re.findall(r"image: (\S+)", manifests())) == {f"pyregistry:{__version__}"}


@pytest.mark.parametrize("text", ["manifests", "chart"])
def test_one_pod_that_is_gone_before_the_next_and_has_time_to_end(helm: Client, text: str) -> None:
    stream = manifests() if text == "manifests" else rendered(helm, "as they are")
    [deployment] = [found for found in documents(stream) if found["kind"] == "Deployment"]
    spec = deployment["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > DRAIN_SECONDS
    [container] = spec["template"]["spec"]["containers"]
    probes = {name: container[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe", "startupProbe")}
    assert probes == {"livenessProbe": "/livez", "readinessProbe": "/readyz", "startupProbe": "/livez"}


def test_helm_finds_no_fault(helm: Client) -> None:
    assert "0 chart(s) failed" in helm.run("lint", "--strict", CHART)


@pytest.mark.parametrize("name", VALUES)
def test_chart_is_rendered_to_what_kubernetes_and_the_registry_take(
    helm: Client, schemas: Schemas, tmp_path: Path, name: str
) -> None:
    text = rendered(helm, name)
    count = len(documents(text))
    for release in RELEASES:
        assert f"Valid: {count}, Invalid: 0, Errors: 0, Skipped: 0" in schemas.check(text, release)
    assert_pods_are_closed_in_and_find_their_files(text)
    config = assert_registry_takes_it(text, tmp_path)
    mounted = {mount["mountPath"] for mount in pods(text)[0]["containers"][0]["volumeMounts"]}
    assert ("auth" in config) == ("/auth" in mounted)
    assert ("tls" in config["http"]) == ("/tls" in mounted)


def test_probes_speak_tls_where_the_registry_does(helm: Client) -> None:
    schemes = {name: set(re.findall(r"scheme: (\w+)", rendered(helm, name))) for name in ("as they are", "its own TLS")}
    assert schemes == {"as they are": {"HTTP"}, "its own TLS": {"HTTPS"}}


@pytest.mark.parametrize("value", ["replicas=2", "image.tagg=1", "host=https://registry.example.org"])
def test_values_that_the_chart_does_not_know_are_refused(helm: Client, value: str) -> None:
    assert "values don't meet the specifications of the schema" in helm.fails(
        "template", "release", CHART, "--set", value
    )


@pytest.mark.parametrize("users", ["htpasswd=", "config.log.level=debug", "config.auth=null"])
def test_an_ingress_without_users_is_refused(helm: Client, users: str) -> None:
    """An empty file behind --set-file would open the registry to the internet."""
    said = helm.fails("template", "release", CHART, "--set", "host=registry.example.org", "--set", users)
    assert "host has the value registry.example.org, and there are no users" in said


@pytest.mark.parametrize(
    "settings",
    [
        ["--set-json", 'config.auth={"none": {}}'],
        ["--set", "config.http.tls.clientcas[0]=/tls/ca.crt", "--set", "tlsSecret=cert"],
    ],
)
def test_an_ingress_without_users_may_be_meant(helm: Client, settings: list[str]) -> None:
    text = helm.run("template", "release", CHART, "--set", "host=registry.example.org", *settings)
    assert [found["kind"] for found in documents(text)].count("Ingress") == 1


def test_versions_of_the_chart_are_ours() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    assert f"pyregistry:{__version__}" in (CHART / "values.yaml").read_text()
