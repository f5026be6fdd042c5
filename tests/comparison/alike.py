"""Lenient requests stay lenient: unusual requests that end with both registries in the same class of status."""

from tests.comparison import alike_documents, alike_downloads, alike_logins, alike_paths, alike_uploads
from tests.comparison.rows import Rows

_AREAS = {
    "path": alike_paths.ALIKE,
    "upload": alike_uploads.ALIKE,
    "download": alike_downloads.ALIKE,
    "document": alike_documents.ALIKE,
    "login": alike_logins.ALIKE,
}
ALIKE = Rows({f"{area}: {words}": row for area, rows in _AREAS.items() for words, row in rows.items()})
