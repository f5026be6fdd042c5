"""What every test of a client may ask for, and the hooks that print which versions ran."""

from tests.clients.fixtures import cosign, crane, guarded, helm, home, oras, regctl, running_guarded
from tests.clients.versions import pytest_collection_finish, pytest_terminal_summary
from tests.engine.conftest import buildah, docker, images, podman, registry, running_registry, scratch, skopeo, wire

__all__ = [
    "buildah",
    "cosign",
    "crane",
    "docker",
    "guarded",
    "helm",
    "home",
    "images",
    "oras",
    "podman",
    "pytest_collection_finish",
    "pytest_terminal_summary",
    "regctl",
    "registry",
    "running_guarded",
    "running_registry",
    "scratch",
    "skopeo",
    "wire",
]
