"""A registry with something in it, and requests written as in the spec's tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import ClientResponse

from tests.builders import digest_of, image, index
from tests.push import Client, push_image, start_upload

NAME = "conformance/repo1"
IMAGE = image()
SUBJECT = index()
REFERRER = index(subject=SUBJECT.descriptor(), artifactType="application/vnd.test.sbom")
NEW = b"a blob that is not there yet"
SENT = b"0123456789"

PLACES: Mapping[str, str] = {
    "name": NAME,
    "blob": digest_of(IMAGE.blobs[1]),
    "manifest": IMAGE.digest,
    "subject": SUBJECT.digest,
    "missing": digest_of(b"missing"),
    "new": digest_of(NEW),
    "sent": digest_of(SENT),
    "unknown upload": "/v2/conformance/repo1/blobs/uploads/01234567-89ab-cdef-0123-456789abcdef",
}
"""The words that a table writes in braces. There are also `{upload}`, the path of an upload of ten bytes, `{upload
location}` and `{upload id}`, which are that one's, and `{empty}`, the path of an upload of none."""


@dataclass(frozen=True)
class Call:
    """One request; `target` may hold the words of PLACES."""

    id: str
    method: str
    target: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, client: Client) -> tuple[ClientResponse, Mapping[str, str]]:
        """The answer, and what the braces stood for."""
        upload = await start_upload(client, NAME)
        assert (await client.patch(upload, data=SENT)).status == 202
        places = {
            **PLACES,
            "upload": upload,
            "upload location": str(client.make_url(upload).with_query(_state=10)),
            "upload id": upload.rpartition("/")[2],
            "empty": await start_upload(client, NAME),
        }
        target = self.target.format_map(places)
        return await client.request(self.method, target, data=self.body or None, headers=self.headers), places


async def fill(client: Client) -> None:
    """An image under the tag `latest`, and an index with a referrer."""
    await push_image(client, NAME, IMAGE, "latest")
    await push_image(client, NAME, SUBJECT)
    await push_image(client, NAME, REFERRER)
