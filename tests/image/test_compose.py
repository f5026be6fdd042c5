"""The samples for compose: what they say is accepted, and what they mount is there."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pyregistry.config.load import load
from tests.processes import SOURCE_TREE

SAMPLES = sorted((SOURCE_TREE / "config/compose").glob("*.yml"))
SERVICE_KEYS = {"image", "build", "restart", "ports", "environment", "volumes", "depends_on"}


def registry_of(path: Path) -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load(path.read_text())["services"]["registry"]
    return service


def test_there_are_samples() -> None:
    assert [path.name for path in SAMPLES] == ["compose.caddy.yml", "compose.htpasswd.yml", "compose.yml"]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_every_variable_is_accepted_without_a_warning(path: Path) -> None:
    environment: dict[str, str] = registry_of(path)["environment"]
    assert all(isinstance(value, str) for value in environment.values())
    given = {name: value.replace("${SITE:-", "").replace("}", "") for name, value in environment.items()}
    config, warnings = load(SOURCE_TREE / "config/image.yml", given)
    assert warnings == []
    assert ("REGISTRY_AUTH" in given) == (config.auth.htpasswd is not None)
    if config.auth.htpasswd is not None:
        assert config.auth.htpasswd.path == "/auth/htpasswd"
    assert config.http.host == ("https://registry.example.org" if "caddy" in path.name else "")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_its_volumes_are_declared_and_its_files_exist_or_are_the_operators(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    for service in document["services"].values():
        assert set(service) <= SERVICE_KEYS
        for volume in service["volumes"]:
            source, target = volume.split(":")[:2]
            assert target.startswith("/")
            if source.startswith("../"):
                assert (path.parent / source).is_file()
            else:
                assert source in document["volumes"] or source in ("./auth", "./certs")


def test_caddy_is_believed_and_nothing_outside_the_network_of_the_two() -> None:
    document = yaml.safe_load((SAMPLES[0]).read_text())
    environment: dict[str, str] = registry_of(SAMPLES[0])["environment"]
    given = {name: value for name, value in environment.items() if "${" not in value}
    config, _ = load(SOURCE_TREE / "config/image.yml", given)
    [network] = document["networks"]["default"]["ipam"]["config"]
    assert config.pyregistry.trusted_proxies == [network["subnet"]]
    assert "ports" not in document["services"]["registry"]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_compose_builds_the_image_that_it_starts(path: Path) -> None:
    registry = registry_of(path)
    assert registry["image"] == "pyregistry"
    assert (path.parent / registry["build"] / "Dockerfile").samefile(SOURCE_TREE / "Dockerfile")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_ports_that_are_published_are_those_the_image_listens_on(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    published = [port for service in document["services"].values() for port in service.get("ports", [])]
    assert all(port.rsplit(":", 1)[1] in ("5000", "80", "443") for port in map(str, published))
    proxied = document["services"].get("caddy", {}).get("environment", {}).get("UPSTREAM")
    assert ("ports" in registry_of(path)) == (proxied is None)
    assert proxied in (None, "registry:5000")
