"""Clients and registries for the messages of docs/troubleshooting.md."""

from tests.clients.fixtures import guarded, home, running_guarded
from tests.engine.conftest import docker, images, registry, running_registry, running_upstream, scratch, skopeo, wire

__all__ = [
    "docker",
    "guarded",
    "home",
    "images",
    "registry",
    "running_guarded",
    "running_registry",
    "running_upstream",
    "scratch",
    "skopeo",
    "wire",
]
