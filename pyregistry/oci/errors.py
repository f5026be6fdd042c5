"""The table of errors for clients, one exception per row.

Raise an error where its cause is known; one middleware writes the response. `message` is the spec's text for the code
("Error Codes"). `detail` is ours, and has the reason in one sentence.

Every 4xx uses one of the spec's fourteen codes. For an invalid `n` and for 5xx there are three codes of Docker's.
"""

from collections.abc import Mapping
from typing import ClassVar

MESSAGES: Mapping[str, str] = {
    "BLOB_UNKNOWN": "blob unknown to registry",
    "BLOB_UPLOAD_INVALID": "blob upload invalid",
    "BLOB_UPLOAD_UNKNOWN": "blob upload unknown to registry",
    "DIGEST_INVALID": "provided digest did not match uploaded content",
    "MANIFEST_BLOB_UNKNOWN": "manifest references a manifest or blob unknown to registry",
    "MANIFEST_INVALID": "manifest invalid",
    "MANIFEST_UNKNOWN": "manifest unknown to registry",
    "NAME_INVALID": "invalid repository name",
    "NAME_UNKNOWN": "repository name not known to registry",
    "SIZE_INVALID": "provided length did not match content length",
    "UNAUTHORIZED": "authentication required",
    "DENIED": "requested access to the resource is denied",
    "UNSUPPORTED": "the operation is unsupported",
    "TOOMANYREQUESTS": "too many requests",
    # Docker's codes, for responses that the spec's table does not cover.
    "UNKNOWN": "unknown error",
    "UNAVAILABLE": "service unavailable",
    "PAGINATION_NUMBER_INVALID": "invalid number of results requested",
}
"""Messages by code: code-1 to code-14 of the spec, then Docker's three."""

MAX_ENTRIES = 1_000
"""The most entries of one error body: a manifest may refer to fifty thousand missing blobs."""


class RegistryError(Exception):
    """An error response of the table.

    `detail` is any JSON value; `headers` are sent along (`Range` with a 416, `Retry-After` with a 429).
    """

    code: ClassVar[str]
    status: ClassVar[int]

    def __init__(self, detail: object = None, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers: Mapping[str, str] = headers or {}

    def entries(self) -> list[dict[str, object]]:
        """Return the entries of the body's `errors` list."""
        return [error_entry(self.code, self.detail)]


def error_entry(code: str, detail: object = None) -> dict[str, object]:
    """Return one entry of the spec's `errors` list."""
    entry: dict[str, object] = {"code": code, "message": MESSAGES[code]}
    if detail is not None:
        entry["detail"] = detail
    return entry


class BlobUnknown(RegistryError):
    """code-1: no such blob in this repository."""

    code, status = "BLOB_UNKNOWN", 404


class UploadRangeInvalid(RegistryError):
    """code-2 with 416: a chunk out of order, or while another request holds the upload.

    `headers` carry `Range` and `Location`, from which any client can resume.
    """

    code, status = "BLOB_UPLOAD_INVALID", 416


class BlobUploadUnknown(RegistryError):
    """code-3: no such upload in this repository."""

    code, status = "BLOB_UPLOAD_UNKNOWN", 404


class DigestInvalid(RegistryError):
    """code-4: malformed digest, unsupported algorithm, or content that does not match."""

    code, status = "DIGEST_INVALID", 400


class ManifestBlobUnknown(RegistryError):
    """code-5: the manifest refers to content that this repository does not have.

    `missing` are the digests; each gets an entry of its own, as the spec allows ("one or more"), up to MAX_ENTRIES.
    """

    code, status = "MANIFEST_BLOB_UNKNOWN", 404

    def __init__(self, *missing: str) -> None:
        super().__init__(list(missing))
        self.missing = missing

    def entries(self) -> list[dict[str, object]]:
        """Return one entry per missing digest."""
        return [error_entry(self.code, {"digest": digest}) for digest in self.missing[:MAX_ENTRIES]]


class ManifestInvalid(RegistryError):
    """code-6: not a manifest that this registry understands."""

    code, status = "MANIFEST_INVALID", 400


class ManifestTypeUnsupported(RegistryError):
    """code-6 with 415: a Content-Type that is not a manifest type.

    The code is MANIFEST_INVALID: after it skopeo tries another format, and after others it stops.
    """

    code, status = "MANIFEST_INVALID", 415


class ManifestTooLarge(RegistryError):
    """code-10 with 413, the spec's status for a manifest above the limit."""

    code, status = "SIZE_INVALID", 413


class ManifestUnknown(RegistryError):
    """code-7: no such manifest or tag in this repository."""

    code, status = "MANIFEST_UNKNOWN", 404


class NameInvalid(RegistryError):
    """code-8: not a repository name."""

    code, status = "NAME_INVALID", 400


class NameUnknown(RegistryError):
    """code-9: no such repository, and no such endpoint."""

    code, status = "NAME_UNKNOWN", 404


class SizeInvalid(RegistryError):
    """code-10: lengths that contradict each other."""

    code, status = "SIZE_INVALID", 400


class BlobTooLarge(RegistryError):
    """code-10 with 413: a body above the limit of its endpoint."""

    code, status = "SIZE_INVALID", 413


class RangeNotSatisfiable(RegistryError):
    """code-10 with 416: a `Range` outside the blob; `headers` carry `Content-Range: bytes */size`."""

    code, status = "SIZE_INVALID", 416


class RequestTimeout(RegistryError):
    """code-10 with 408: the body did not arrive."""

    code, status = "SIZE_INVALID", 408


class Unauthorized(RegistryError):
    """code-11: `headers` carry the `WWW-Authenticate` challenge."""

    code, status = "UNAUTHORIZED", 401


class Denied(RegistryError):
    """code-12: a known caller without this right."""

    code, status = "DENIED", 403


class Unsupported(RegistryError):
    """code-13 with 405: a method or operation that is disabled or does not exist."""

    code, status = "UNSUPPORTED", 405


class RequestInvalid(RegistryError):
    """code-13 with 400: an invalid HTTP request or query parameter."""

    code, status = "UNSUPPORTED", 400


class TlsToPlainPort(RequestInvalid):
    """400: a TLS handshake on a plain HTTP port; Go's clients print "server gave HTTP response to HTTPS client"."""


class PageSizeInvalid(RegistryError):
    """400: an `n` that is not a number; Docker's code, known to clients of the CNCF registry."""

    code, status = "PAGINATION_NUMBER_INVALID", 400


class TargetTooLong(RegistryError):
    """code-13 with 414: a request line above the limit."""

    code, status = "UNSUPPORTED", 414


class HeadTooLarge(RegistryError):
    """code-13 with 431: headers above the limits."""

    code, status = "UNSUPPORTED", 431


class ExpectationFailed(RegistryError):
    """code-13 with 417: an `Expect` other than 100-continue."""

    code, status = "UNSUPPORTED", 417


class TooManyRequests(RegistryError):
    """code-14: `headers` carry `Retry-After`, in seconds."""

    code, status = "TOOMANYREQUESTS", 429


class InternalError(RegistryError):
    """500: hides the cause, which is logged."""

    code, status = "UNKNOWN", 500


class Unavailable(RegistryError):
    """503: the storage cannot be written, or the process is out of descriptors."""

    code, status = "UNAVAILABLE", 503


class VersionUnsupported(RegistryError):
    """505: a request of another major version of HTTP."""

    code, status = "UNKNOWN", 505


class StorageFull(RegistryError):
    """507: not enough free space for the upload."""

    code, status = "UNAVAILABLE", 507
