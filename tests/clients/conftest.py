"""The fixtures of all tests of clients."""

from tests.clients.fixtures import cosign, crane, guarded, helm, home, oras, regctl, running_guarded
from tests.engine.conftest import (
    buildah,
    docker,
    either,
    images,
    podman,
    registry,
    running_registry,
    running_upstream,
    scratch,
    skopeo,
    wire,
)

__all__ = [
    "buildah",
    "cosign",
    "crane",
    "docker",
    "either",
    "guarded",
    "helm",
    "home",
    "images",
    "oras",
    "podman",
    "regctl",
    "registry",
    "running_guarded",
    "running_registry",
    "running_upstream",
    "scratch",
    "skopeo",
    "wire",
]
