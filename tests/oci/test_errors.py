"""The table of errors, row by row, against the spec's table of codes."""

import json

import pytest

from pyregistry.oci import errors
from pyregistry.oci.errors import MESSAGES, ManifestBlobUnknown, RegistryError, error_entry

# distribution-spec, "Error Codes": code-1 to code-14, in its order and with its sentences.
SPEC_CODES = {
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
}

ROWS: dict[type[RegistryError], tuple[str, int]] = {
    errors.BlobUnknown: ("BLOB_UNKNOWN", 404),
    errors.UploadRangeInvalid: ("BLOB_UPLOAD_INVALID", 416),
    errors.BlobUploadUnknown: ("BLOB_UPLOAD_UNKNOWN", 404),
    errors.DigestInvalid: ("DIGEST_INVALID", 400),
    errors.ManifestBlobUnknown: ("MANIFEST_BLOB_UNKNOWN", 404),
    errors.ManifestInvalid: ("MANIFEST_INVALID", 400),
    errors.ManifestTypeUnsupported: ("MANIFEST_INVALID", 415),
    errors.ManifestTooLarge: ("SIZE_INVALID", 413),
    errors.ManifestUnknown: ("MANIFEST_UNKNOWN", 404),
    errors.NameInvalid: ("NAME_INVALID", 400),
    errors.NameUnknown: ("NAME_UNKNOWN", 404),
    errors.SizeInvalid: ("SIZE_INVALID", 400),
    errors.BlobTooLarge: ("SIZE_INVALID", 413),
    errors.RangeNotSatisfiable: ("SIZE_INVALID", 416),
    errors.RequestTimeout: ("SIZE_INVALID", 408),
    errors.Unauthorized: ("UNAUTHORIZED", 401),
    errors.Denied: ("DENIED", 403),
    errors.Unsupported: ("UNSUPPORTED", 405),
    errors.RequestInvalid: ("UNSUPPORTED", 400),
    errors.PageSizeInvalid: ("PAGINATION_NUMBER_INVALID", 400),
    errors.TargetTooLong: ("UNSUPPORTED", 414),
    errors.HeadTooLarge: ("UNSUPPORTED", 431),
    errors.ExpectationFailed: ("UNSUPPORTED", 417),
    errors.TooManyRequests: ("TOOMANYREQUESTS", 429),
    errors.InternalError: ("UNKNOWN", 500),
    errors.VersionUnsupported: ("UNKNOWN", 505),
    errors.Unavailable: ("UNAVAILABLE", 503),
    errors.StorageFull: ("UNAVAILABLE", 507),
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_each_error_has_its_code_and_status(row: type[RegistryError]) -> None:
    assert (row.code, row.status) == ROWS[row]


def test_every_error_stands_in_this_table() -> None:
    assert set(RegistryError.__subclasses__()) == set(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_the_code_of_a_4xx_but_one_is_of_the_spec_and_that_of_a_5xx_is_not(row: type[RegistryError]) -> None:
    assert 400 <= row.status < 600
    assert (row.code in SPEC_CODES) == (row.status < 500 and row is not errors.PageSizeInvalid)


@pytest.mark.parametrize(("code", "message"), SPEC_CODES.items(), ids=SPEC_CODES.keys())
def test_the_message_is_the_sentence_of_the_spec(code: str, message: str) -> None:
    assert MESSAGES[code] == message


def test_the_only_other_codes_are_three_of_docker() -> None:
    assert set(MESSAGES) - set(SPEC_CODES) == {"UNKNOWN", "UNAVAILABLE", "PAGINATION_NUMBER_INVALID"}


@pytest.mark.parametrize("row", [row for row in ROWS if row is not ManifestBlobUnknown], ids=lambda row: row.__name__)
def test_the_envelope_has_one_entry_with_code_message_and_detail(row: type[RegistryError]) -> None:
    assert row({"what": "was wrong"}).entries() == [
        {"code": row.code, "message": MESSAGES[row.code], "detail": {"what": "was wrong"}}
    ]


def test_an_error_without_detail_has_none_in_its_entry() -> None:
    assert errors.Denied().entries() == [error_entry("DENIED")]
    assert "detail" not in error_entry("DENIED")


def test_each_missing_digest_has_an_entry_of_its_own() -> None:
    error = ManifestBlobUnknown("sha256:a", "sha256:b")
    assert error.missing == ("sha256:a", "sha256:b")
    assert [entry["detail"] for entry in error.entries()] == [{"digest": "sha256:a"}, {"digest": "sha256:b"}]
    assert {entry["code"] for entry in error.entries()} == {"MANIFEST_BLOB_UNKNOWN"}


def test_headers_are_those_that_were_given() -> None:
    assert errors.Unauthorized(headers={"WWW-Authenticate": "Basic"}).headers == {"WWW-Authenticate": "Basic"}
    assert errors.Unauthorized().headers == {}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_an_entry_is_json(row: type[RegistryError]) -> None:
    assert json.loads(json.dumps(row("detail").entries()))
