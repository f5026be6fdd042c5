"""The required content of a directory, for each server of it: a model that grows with each push and deletion."""

import json
from collections import defaultdict
from dataclasses import dataclass, field

from tests.engine.images import OCI_INDEX, OCI_MANIFEST, Descriptor, Image, descriptor, digest_of
from tests.engine.wire import Wire

EMPTY = b"{}"
SIGNATURE = "application/vnd.example.signature"


def signature_of(subject: Descriptor, note: bytes) -> bytes:
    """A manifest that refers to another one; its one layer is the note."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": SIGNATURE,
        "config": descriptor("application/vnd.oci.empty.v1+json", EMPTY),
        "layers": [descriptor("text/plain", note)],
        "subject": subject,
    }
    return json.dumps(document).encode()


@dataclass
class Volume:
    """By repository: tags with their digests, manifests by digest, what was deleted, who refers to whom."""

    tags: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    manifests: dict[str, dict[str, bytes]] = field(default_factory=lambda: defaultdict(dict))
    deleted: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    referrers: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))

    def learn(self, wire: Wire, repository: str, tag: str) -> str:
        """Note what a client has pushed under a tag, children included; the digest."""
        digest = wire.digest(repository, tag)
        self.tags[repository][tag] = digest
        self._learn_manifest(wire, repository, digest)
        return digest

    def _learn_manifest(self, wire: Wire, repository: str, digest: str) -> None:
        body = wire.manifest(repository, digest).must(200).body
        self.manifests[repository][digest] = body
        for child in json.loads(body).get("manifests", ()):
            self._learn_manifest(wire, repository, child["digest"])

    def push(self, wire: Wire, repository: str, tag: str, image: Image) -> str:
        """Push an image and note it."""
        wire.push(repository, tag, image)
        return self.learn(wire, repository, tag)

    def sign(self, wire: Wire, repository: str, subject: str, note: bytes, *, listed: bool) -> None:
        """Push an untagged manifest that refers to one of this repository.

        Where the registry does not list it, the client keeps a list under a tag: the spec's "referrers tag schema".
        """
        body = self.manifests[repository][subject]
        media_type = OCI_INDEX if "manifests" in json.loads(body) else OCI_MANIFEST
        manifest = signature_of(descriptor(media_type, body), note)
        for content in (EMPTY, note):
            wire.push_blob(repository, content)
        wire.push_manifest(repository, digest_of(manifest), manifest)
        self.manifests[repository][digest_of(manifest)] = manifest
        self.referrers[repository, subject].add(digest_of(manifest))
        if not listed:
            self._list_under_tag(wire, repository, subject, manifest)

    def _list_under_tag(self, wire: Wire, repository: str, subject: str, manifest: bytes) -> None:
        tag = subject.replace(":", "-")
        entries = [{**descriptor(OCI_MANIFEST, manifest), "artifactType": SIGNATURE}]
        if tag in self.tags[repository]:
            entries += json.loads(self.manifests[repository][self.tags[repository][tag]])["manifests"]
        index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
        wire.push_manifest(repository, tag, index, OCI_INDEX)
        self.learn(wire, repository, tag)

    def delete(self, wire: Wire, repository: str, digest: str) -> None:
        """Delete a manifest, and with it the tags that name it."""
        wire.request("DELETE", f"/v2/{repository}/manifests/{digest}").must(202)
        del self.manifests[repository][digest]
        self.deleted[repository].add(digest)
        left = {tag: named for tag, named in self.tags[repository].items() if named != digest}
        self.tags[repository] = left

    def delete_tag(self, wire: Wire, repository: str, tag: str) -> None:
        """Delete a tag; the manifest stays."""
        wire.request("DELETE", f"/v2/{repository}/manifests/{tag}").must(202)
        del self.tags[repository][tag]

    @property
    def kept(self) -> set[str]:
        """The digests of all that some manifest needs, and of the manifests."""
        found = set()
        for manifests in self.manifests.values():
            for digest, body in manifests.items():
                found |= {digest, *blobs_of(body)}
        return found

    def check(self, wire: Wire) -> None:
        """All of it must be there, under the same digests, and what was deleted must not."""
        assert wire.repositories() <= {*self.tags, *self.manifests}
        for repository, tags in self.tags.items():
            assert set(wire.tags(repository)) == set(tags), repository
        self.check_present(wire)
        for repository, digests in self.deleted.items():
            for digest in digests:
                wire.manifest(repository, digest).must(404)

    def check_present(self, wire: Wire) -> None:
        """All of it must be there, under the same digests."""
        assert wire.repositories() >= {repository for repository, tags in self.tags.items() if tags}
        for repository, tags in self.tags.items():
            assert set(wire.tags(repository)) >= set(tags), repository
            assert {tag: wire.digest(repository, tag) for tag in tags} == tags, repository
        for repository, manifests in self.manifests.items():
            for digest, body in manifests.items():
                assert wire.manifest(repository, digest).must(200).body == body
                for blob in blobs_of(body):
                    content = wire.request("GET", f"/v2/{repository}/blobs/{blob}").must(200).body
                    assert digest_of(content) == blob

    def check_referrers(self, wire: Wire) -> None:
        """Check the referrers of each subject, which only we list."""
        for (repository, subject), digests in self.referrers.items():
            found = wire.request("GET", f"/v2/{repository}/referrers/{subject}").must(200).json()["manifests"]
            assert {each["digest"] for each in found} == digests, (repository, subject)


def blobs_of(manifest: bytes) -> set[str]:
    """The config and the layers of an image."""
    document = json.loads(manifest)
    return {each["digest"] for each in (*document.get("layers", ()), *filter(None, [document.get("config")]))}
