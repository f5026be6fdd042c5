"""Stricter requests: logins."""

from tests.comparison.asking import (
    BLOB,
    BYTES,
    Answer,
    Asker,
)
from tests.comparison.pairs import ALICE, BOB, login, token_for
from tests.comparison.rows import Rows

ROWS = Rows()
row = ROWS.row


# Logins


@row("two different `Authorization` headers", "password")
def _(asker: Asker) -> Answer:
    return asker.ask("GET", "/v2/", [*ALICE, *BOB])


@row("60 wrong passwords for one user", "password")
def _(asker: Asker) -> Answer:
    answers = [asker.ask("GET", "/v2/", login("carol", f"wrong {number}")) for number in range(60)]
    return next((answer for answer in answers if answer.status != 401), answers[-1])


@row("a `PATCH` of an upload that another user began", "password")
def _(asker: Asker) -> Answer:
    begun = asker.ask("POST", f"/v2/{asker.repository}/blobs/uploads/", ALICE)
    return asker.ask("PATCH", begun.location, [BYTES, *BOB], BLOB)


@row("`GET` of an upload with a token for `pull` alone", "token")
def _(asker: Asker) -> Answer:
    location = Asker(asker.port, token_for(asker.repository, "pull", "push")).begin(asker.repository)
    return asker.ask("GET", location, token_for(asker.repository, "pull"))
