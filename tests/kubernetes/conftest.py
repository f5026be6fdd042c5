"""The schemas of Kubernetes for kubeconform, which would fetch them from the network."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.clients.programs import built, own_settings
from tests.engine.client import Client

KINDS = [
    *("configmap-v1", "persistentvolumeclaim-v1", "secret-v1", "service-v1"),
    *("cronjob-batch-v1", "deployment-apps-v1", "ingress-networking-v1"),
]
RELEASES = ["v1.25.0", "v1.36.0"]
"""The oldest that has all that the samples use, and one of those in use."""
_PUBLISHED = "/api/_definitions.json"


class Schemas:
    """kubeconform with the schemas of some releases, strict: a key that Kubernetes does not know is an error."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        source = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
        for release in RELEASES:
            (directory / release).mkdir()
            for name in (*KINDS, "_definitions"):
                # kubeconform would look for the rest where the id says, on the network.
                schema = json.loads((source / f"{release}-local-strict" / f"{name}.json").read_text())
                schema.pop("$id", None)
                text = json.dumps(schema).replace(_PUBLISHED, "_definitions.json")
                (directory / release / f"{name}.json").write_text(text)

    def check(self, text: str, release: str) -> str:
        """Check a stream of documents; return what kubeconform says of them. AssertionError if one is wrong."""
        place = f"{self._directory / release}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
        checker = Client(built("kubeconform"), "-strict", "-summary", "-schema-location", place)
        return checker.run(input=text.encode())


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Schemas:
    """Every kind that the samples use."""
    return Schemas(tmp_path_factory.mktemp("schemas"))


@pytest.fixture
def helm(tmp_path: Path) -> Client:
    """helm with a home of its own."""
    return Client(built("helm"), env=own_settings(tmp_path))


def documents(text: str) -> list[dict[str, Any]]:
    """The documents of a stream, without empty ones."""
    found: Iterable[dict[str, Any] | None] = yaml.safe_load_all(text)
    return [document for document in found if document]
