"""The image has the exact versions of constraints/image.txt."""

import json

from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.dependencies.constraints import IMAGE, read_pins, requirements
from tests.engine.engine import Engine

OURS = "pyregistry-oci"


def test_every_package_has_its_exact_version(docker: Engine, image: str) -> None:
    bill = json.loads(
        docker.run("run", "--rm", "--entrypoint", "cat", image, "/usr/share/doc/pyregistry/sbom.cdx.json")
    )
    found = {canonicalize_name(each["name"]): Version(each["version"]) for each in bill["components"]}
    found.pop(canonicalize_name(OURS), None)
    pins = read_pins(IMAGE)
    assert found == {name: pins.get(name) for name in found}
    assert {canonicalize_name(requirement.name) for requirement in requirements()} <= set(found)
