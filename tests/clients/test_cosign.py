"""cosign: signatures and attestations with a local key, under tags and as referrers."""

import base64
import json
import secrets
from pathlib import Path

import pytest

from tests.clients.programs import PASSWORD, USER, Cosign, blobs_of, payload
from tests.engine.images import OCI_INDEX, Image, digest_of, oci_image, oci_index, unique
from tests.engine.wire import Wire
from tests.processes import Server

OCI11 = "--registry-referrers-mode=oci-1-1"
NEW = "--new-bundle-format"
SIGNATURE = "application/vnd.dev.cosign.artifact.sig.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@pytest.fixture
def repository() -> str:
    return unique("cosign")


@pytest.fixture
def image(wire: Wire, repository: str) -> Image:
    """An unsigned image, under the tag `1`."""
    image = oci_image()
    wire.push(repository, "1", image)
    return image


@pytest.fixture
def pinned(registry: Server, repository: str, image: Image) -> str:
    """Its name by digest."""
    return f"{registry.host}/{repository}@{digest_of(image.manifest)}"


def referrers(wire: Wire, repository: str, image: Image) -> list[str]:
    """The artifact types of what refers to the image."""
    found = wire.request("GET", f"/v2/{repository}/referrers/{digest_of(image.manifest)}").must(200).json()
    return [entry["artifactType"] for entry in found["manifests"]]


def verified(cosign: Cosign, name: str, *options: str) -> list[str]:
    """The digest that each valid signature of the image is about."""
    claims = cosign.json("verify", *Cosign.VERIFY, *options, name)
    return [claim["critical"]["image"]["docker-manifest-digest"] for claim in claims]


@pytest.mark.client("cosign", "sign and verify")
def test_signature_under_a_tag_verifies_with_its_key_alone(
    wire: Wire, cosign: Cosign, repository: str, image: Image, pinned: str
) -> None:
    assert "no signatures found" in cosign.fails("verify", *Cosign.VERIFY, pinned)
    cosign.run("sign", *Cosign.SIGN, pinned)
    digest = digest_of(image.manifest)
    assert sorted(wire.content(repository)) == ["1", f"{digest.replace(':', '-')}.sig"]
    assert verified(cosign, pinned) == [digest]
    cosign.new_key()
    assert "invalid signature" in cosign.fails("verify", *Cosign.VERIFY, pinned)
    cosign.run("sign", *Cosign.SIGN, pinned)
    assert verified(cosign, pinned) == [digest]


@pytest.mark.client("cosign", "sign and verify")
@pytest.mark.client("cosign", "list referrers")
def test_signature_as_a_referrer_verifies(
    wire: Wire, cosign: Cosign, repository: str, image: Image, pinned: str
) -> None:
    cosign.run("sign", *Cosign.SIGN, OCI11, pinned)
    assert list(wire.content(repository)) == ["1"]
    assert referrers(wire, repository, image) == [SIGNATURE]
    assert verified(cosign, pinned, "--experimental-oci11") == [digest_of(image.manifest)]


@pytest.mark.client("cosign", "sign and verify")
@pytest.mark.client("cosign", "list referrers")
def test_signature_in_a_bundle_verifies(wire: Wire, cosign: Cosign, repository: str, image: Image, pinned: str) -> None:
    cosign.run("sign", *Cosign.SIGN, NEW, pinned)
    assert list(wire.content(repository)) == ["1"]
    assert referrers(wire, repository, image) == [BUNDLE]
    assert verified(cosign, pinned, *Cosign.BUNDLE) == [digest_of(image.manifest)]


@pytest.mark.client("cosign", "sign and verify")
def test_index_is_signed_with_all_its_images(registry: Server, wire: Wire, cosign: Cosign, repository: str) -> None:
    images = [oci_image(architecture=architecture) for architecture in ("amd64", "arm64")]
    for image in images:
        wire.push(repository, image.platform["architecture"], image)
    index = oci_index(*images)
    wire.request("PUT", f"/v2/{repository}/manifests/both", index, {"Content-Type": OCI_INDEX}).must(201)
    name = f"{registry.host}/{repository}"
    cosign.run("sign", *Cosign.SIGN, "--recursive", f"{name}@{digest_of(index)}")
    for content in (index, *(image.manifest for image in images)):
        assert verified(cosign, f"{name}@{digest_of(content)}") == [digest_of(content)]


@pytest.mark.client("cosign", "attach")
@pytest.mark.client("cosign", "sign and verify")
@pytest.mark.parametrize("form", [(), (NEW,)], ids=["tag", "bundle"])
def test_attestation_comes_back_as_it_was_signed(
    cosign: Cosign, home: Path, pinned: str, form: tuple[str, ...]
) -> None:
    predicate = {"build": secrets.token_hex(20_000)}
    (home / "predicate.json").write_text(json.dumps(predicate))
    kind = ("--type", "https://example.com/build")
    cosign.run("attest", *Cosign.SIGN, *form, *kind, "--predicate", "predicate.json", pinned)
    options = Cosign.BUNDLE if form else ()
    envelope = cosign.json("verify-attestation", *Cosign.VERIFY, *options, *kind, pinned)
    assert json.loads(base64.b64decode(envelope["payload"]))["predicate"] == predicate


@pytest.mark.client("cosign", "attach")
def test_attached_signature_made_elsewhere_verifies(cosign: Cosign, home: Path, image: Image, pinned: str) -> None:
    (home / "payload").write_text(cosign.run("generate", pinned))
    cosign.run("sign-blob", *Cosign.SIGN, "--output-signature", "signature", "payload")
    cosign.run("attach", "signature", "--payload", "payload", "--signature", "signature", pinned)
    assert verified(cosign, pinned) == [digest_of(image.manifest)]


@pytest.mark.client("cosign", "copy")
def test_copy_takes_the_signature_along(registry: Server, cosign: Cosign, image: Image, pinned: str) -> None:
    cosign.run("sign", *Cosign.SIGN, pinned)
    other = f"{registry.host}/{unique('cosign/copy')}:1"
    cosign.run("copy", pinned, other)
    assert verified(cosign, other) == [digest_of(image.manifest)]


@pytest.mark.client("cosign", "delete")
def test_clean_takes_the_signature_away(wire: Wire, cosign: Cosign, repository: str, pinned: str) -> None:
    cosign.run("sign", *Cosign.SIGN, pinned)
    cosign.run("clean", "--force", pinned)
    assert list(wire.content(repository)) == ["1"]
    assert "no signatures found" in cosign.fails("verify", *Cosign.VERIFY, pinned)


@pytest.mark.client("cosign", "push")
@pytest.mark.client("cosign", "pull")
def test_saved_image_is_loaded_with_its_signature(
    registry: Server, cosign: Cosign, home: Path, image: Image, pinned: str
) -> None:
    cosign.run("sign", *Cosign.SIGN, pinned)
    cosign.run("save", "--dir", "saved", pinned)
    saved = blobs_of(home / "saved")
    assert {digest_of(content): content for content in (*image.blobs, image.manifest)}.items() <= saved.items()
    other = f"{registry.host}/{unique('cosign/loaded')}:1"
    cosign.run("load", "--dir", "saved", other)
    assert verified(cosign, other) == [digest_of(image.manifest)]


@pytest.mark.client("cosign", "log in")
def test_login_is_needed_to_push_to_sign_and_to_verify(guarded: Server, cosign: Cosign, home: Path) -> None:
    content, name = payload(home / "file"), f"{guarded.host}/{unique('cosign/login')}:1"
    assert "401 Unauthorized" in cosign.fails("upload", "blob", "--files", "file", name)
    cosign.run("login", guarded.host, "--username", USER, "--password", PASSWORD)
    pinned = cosign.run("upload", "blob", "--files", "file", name).strip()
    cosign.run("sign", *Cosign.SIGN, pinned)
    assert verified(cosign, pinned) == [pinned.partition("@")[2]]
    cosign.run("save", "--dir", "saved", pinned)
    assert blobs_of(home / "saved")[digest_of(content)] == content
    (home / ".docker/config.json").unlink()  # cosign has no logout
    assert "UNAUTHORIZED: authentication required" in cosign.fails("verify", *Cosign.VERIFY, pinned)
