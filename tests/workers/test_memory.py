"""A blob of any size goes through without being held in memory."""

import hashlib
from collections.abc import Iterator

from tests.processes import Server, wait_until
from tests.workers.http import ask, start_upload
from tests.workers.workers import peak_memory, workers_of

_MIB = 1024 * 1024
_SIZE = 1_500 * _MIB
_GROWTH = 64 * _MIB


def test_1_5_gb_in_one_chunked_patch_grow_the_workers_by_at_most_64_mib(server: Server) -> None:
    wait_until(lambda: len(workers_of(server)) == 4, "four workers run")
    small = start_upload(server, "app")
    assert ask(server, "PATCH", small, b"x" * _MIB).status == 202
    before = {pid: peak_memory(pid) for pid in workers_of(server)}
    block = bytes(range(256)) * (_MIB // 256)
    total = hashlib.sha256()

    def generated() -> Iterator[bytes]:
        for number in range(_SIZE // _MIB):
            piece = number.to_bytes(8, "big") + block[8:]
            total.update(piece)
            yield piece

    location = start_upload(server, "app")
    answer = ask(server, "PATCH", location, generated())
    assert (answer.status, answer.headers["Range"]) == (202, f"0-{_SIZE - 1}")
    digest = f"sha256:{total.hexdigest()}"
    assert ask(server, "PUT", f"{location}?digest={digest}").status == 201
    assert ask(server, "HEAD", f"/v2/app/blobs/{digest}").headers["Content-Length"] == str(_SIZE)
    after = {pid: peak_memory(pid) for pid in workers_of(server)}
    assert set(after) == set(before), "a worker died"
    assert sum(after.values()) - sum(before.values()) <= _GROWTH
