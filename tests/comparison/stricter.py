"""The requests of docs/stricter-than-cncf.md, by the words of its first column and in its order."""

from tests.comparison import stricter_documents, stricter_logins, stricter_requests, stricter_uploads
from tests.comparison.rows import Rows

ROWS = Rows()
for _rows in (stricter_requests.ROWS, stricter_uploads.ROWS, stricter_documents.ROWS, stricter_logins.ROWS):
    for _words, _row in _rows.items():
        ROWS.add(_words, _row.request, _row.kind)
