"""helm: charts as OCI artifacts."""

from pathlib import Path

import pytest

from tests.clients.programs import PASSWORD, USER
from tests.engine.client import Client
from tests.engine.images import unique
from tests.engine.wire import Wire
from tests.processes import Server

PLAIN = "--plain-http"
CONFIG = "application/vnd.cncf.helm.config.v1+json"


def package(helm: Client, home: Path, version: str) -> Path:
    """A packed chart named `chart`, as `helm create` makes it."""
    if not (home / "chart").exists():
        helm.run("create", "chart")
    helm.run("package", "chart", "--version", version, "--destination", "packed")
    return home / f"packed/chart-{version}.tgz"


def pulled(helm: Client, home: Path, chart: str, *options: str) -> Path:
    """The directory into which a chart was pulled."""
    directory = home / "pulled"
    directory.mkdir(exist_ok=True)
    helm.run("pull", PLAIN, chart, *options, "--destination", directory)
    return directory


@pytest.mark.client("helm", "push")
@pytest.mark.client("helm", "pull")
@pytest.mark.client("helm", "list tags")
def test_pushed_chart_comes_back_with_the_same_bytes(registry: Server, wire: Wire, helm: Client, home: Path) -> None:
    repository = unique("helm/chart")
    for version in ("1.2.3", "1.3.0", "2.0.0"):
        helm.run("push", PLAIN, package(helm, home, version), f"oci://{registry.host}/{repository}")
    assert wire.manifest(f"{repository}/chart", "1.3.0").json()["config"]["mediaType"] == CONFIG
    chart = f"oci://{registry.host}/{repository}/chart"
    newest = pulled(helm, home, chart, "--version", "~1") / "chart-1.3.0.tgz"  # lists the tags
    assert newest.read_bytes() == (home / "packed/chart-1.3.0.tgz").read_bytes()
    oldest = pulled(helm, home, chart, "--version", "1.2.3") / "chart-1.2.3.tgz"
    assert oldest.read_bytes() == (home / "packed/chart-1.2.3.tgz").read_bytes()


@pytest.mark.client("helm", "pull by digest")
def test_chart_is_pulled_by_digest(registry: Server, wire: Wire, helm: Client, home: Path) -> None:
    repository, packed = unique("helm/digest"), package(helm, home, "1.0.0")
    helm.run("push", PLAIN, packed, f"oci://{registry.host}/{repository}")
    digest = wire.digest(f"{repository}/chart", "1.0.0")
    directory = pulled(helm, home, f"oci://{registry.host}/{repository}/chart@{digest}")
    assert [path.read_bytes() for path in directory.iterdir()] == [packed.read_bytes()]


@pytest.mark.client("helm", "push")
@pytest.mark.client("helm", "pull")
def test_plus_in_a_version_is_an_underscore_in_the_tag(registry: Server, wire: Wire, helm: Client, home: Path) -> None:
    repository, packed = unique("helm/plus"), package(helm, home, "1.2.3-rc.1+build.4")
    helm.run("push", PLAIN, packed, f"oci://{registry.host}/{repository}")
    assert list(wire.content(f"{repository}/chart")) == ["1.2.3-rc.1_build.4"]
    version = ("--version", "1.2.3-rc.1+build.4")
    directory = pulled(helm, home, f"oci://{registry.host}/{repository}/chart", *version)
    assert (directory / packed.name).read_bytes() == packed.read_bytes()


@pytest.mark.client("helm", "inspect")
@pytest.mark.client("helm", "unknown name")
def test_chart_is_shown_and_rendered_from_the_registry(registry: Server, helm: Client, home: Path) -> None:
    repository = unique("helm/show")
    helm.run("push", PLAIN, package(helm, home, "0.1.0"), f"oci://{registry.host}/{repository}")
    chart = f"oci://{registry.host}/{repository}/chart"
    shown = helm.run("show", "chart", PLAIN, chart, "--version", "0.1.0").splitlines()
    assert {"name: chart", "version: 0.1.0"} <= set(shown)
    assert "kind: Deployment" in helm.run("template", "release", chart, PLAIN, "--version", "0.1.0")
    assert "not found" in helm.fails("show", "chart", PLAIN, chart, "--version", "0.2.0")


@pytest.mark.client("helm", "log in")
def test_login_is_needed_to_push_and_to_pull(guarded: Server, helm: Client, home: Path) -> None:
    packed, there = package(helm, home, "1.0.0"), f"oci://{guarded.host}/{unique('helm/login')}"
    assert "basic credential not found" in helm.fails("push", PLAIN, packed, there)
    login = ("registry", "login", PLAIN, guarded.host, "--username", USER)
    assert "unauthorized: authentication required" in helm.fails(*login, "--password", "wrong")
    helm.run(*login, "--password", PASSWORD)
    helm.run("push", PLAIN, packed, there)
    directory = pulled(helm, home, f"{there}/chart", "--version", "1.0.0")
    assert (directory / packed.name).read_bytes() == packed.read_bytes()
    helm.run("registry", "logout", guarded.host)
    assert "basic credential not found" in helm.fails("pull", PLAIN, f"{there}/chart", "--version", "1.0.0")
