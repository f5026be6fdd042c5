"""The table of errors that a client can see, one exception per row.

Raise the row where the fact is known; one middleware writes the answer. `message` is the spec's sentence for the
code (distribution-spec, "Error Codes"), `detail` is ours and says what was wrong in one sentence.

Every 4xx uses one of the spec's fourteen codes. The spec has none for a bad `n` and for 5xx; those use Docker's three.
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
    # Docker's codes, for answers that the spec's table does not cover.
    "UNKNOWN": "unknown error",
    "UNAVAILABLE": "service unavailable",
    "PAGINATION_NUMBER_INVALID": "invalid number of results requested",
}
"""Code to sentence: code-1 to code-14 of the spec, then Docker's three."""

MAX_ENTRIES = 1_000
"""Members of one envelope, at most: a manifest may refer to fifty thousand blobs that are not here."""


class RegistryError(Exception):
    """An answer of the error table.

    `detail` is any JSON value; `headers` are sent along (`Range` with a 416, `Retry-After` with a 429).
    """

    code: ClassVar[str]
    status: ClassVar[int]

    def __init__(self, detail: object = None, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers: Mapping[str, str] = headers or {}

    def entries(self) -> list[dict[str, object]]:
        """The members of the envelope's `errors` list."""
        return [error_entry(self.code, self.detail)]


def error_entry(code: str, detail: object = None) -> dict[str, object]:
    """One member of the spec's `errors` list."""
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
        """One entry per missing digest."""
        return [error_entry(self.code, {"digest": digest}) for digest in self.missing[:MAX_ENTRIES]]


class ManifestInvalid(RegistryError):
    """code-6: not a manifest that this registry understands."""

    code, status = "MANIFEST_INVALID", 400


class ManifestTypeUnsupported(RegistryError):
    """code-6 with 415: a Content-Type that is no manifest type.

    The code is MANIFEST_INVALID, since skopeo tries another format after that code and stops after others.
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
    """code-12: known caller, no right."""

    code, status = "DENIED", 403


class Unsupported(RegistryError):
    """code-13 with 405: a method or operation that is switched off or does not exist."""

    code, status = "UNSUPPORTED", 405


class RequestInvalid(RegistryError):
    """code-13 with 400: an HTTP request or a query parameter that makes no sense."""

    code, status = "UNSUPPORTED", 400


class TlsToPlainPort(RequestInvalid):
    """400: a TLS handshake where plain HTTP is spoken; Go's clients say "server gave HTTP response to HTTPS client"."""


class PageSizeInvalid(RegistryError):
    """400: an `n` that is no number; Docker's code, which clients of the CNCF registry know."""

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
    """500: says nothing about the inside; the log has it."""

    code, status = "UNKNOWN", 500


class Unavailable(RegistryError):
    """503: the storage refuses to write or is out of descriptors."""

    code, status = "UNAVAILABLE", 503


class VersionUnsupported(RegistryError):
    """505: a request of another major version of HTTP."""

    code, status = "UNKNOWN", 505


class StorageFull(RegistryError):
    """507: no room for the upload."""

    code, status = "UNAVAILABLE", 507
