"""Several workers are one registry: what one of them received the others know."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.builders import digest_of, index
from tests.processes import Server, wait_until
from tests.workers.http import ask, push_in_chunks
from tests.workers.workers import workers_of

_BLOB = b"one layer for all" * 10_000
_DIGEST = digest_of(_BLOB)


def test_there_are_as_many_workers_as_the_config_says(shared_server: Server) -> None:
    wait_until(lambda: len(workers_of(shared_server)) == 4, "four workers run")


@pytest.mark.parametrize("number", range(3))
def test_an_upload_whose_requests_meet_any_worker_ends_right(shared_server: Server, number: int) -> None:
    chance = random.Random(number)
    for turn in range(8):
        chunks = [chance.randbytes(chance.choice([1, 1_000, 70_000, 1_100_000])) for _ in range(chance.randint(1, 5))]
        last = chance.choice([b"", b"the end"])
        answer = push_in_chunks(shared_server, f"any/{number}/{turn}", chunks, last)
        content = b"".join(chunks) + last
        assert answer.status == 201, answer
        assert answer.headers["Docker-Content-Digest"] == digest_of(content)
        for _ in range(2):
            assert ask(shared_server, "GET", f"/v2/any/{number}/{turn}/blobs/{digest_of(content)}").body == content


def test_50_uploads_of_one_digest_into_10_repositories_at_once_are_all_201(shared_server: Server) -> None:
    def push(number: int) -> int:
        if number % 2:
            return ask(shared_server, "POST", f"/v2/many{number % 10}/blobs/uploads/?digest={_DIGEST}", _BLOB).status
        return push_in_chunks(shared_server, f"many{number % 10}", [_BLOB[:5_000], _BLOB[5_000:]]).status

    with ThreadPoolExecutor(25) as pool:
        assert set(pool.map(push, range(50))) == {201}
    for number in range(10):
        assert ask(shared_server, "GET", f"/v2/many{number}/blobs/{_DIGEST}").body == _BLOB


def test_a_tag_that_moved_is_moved_for_every_worker_at_once(shared_server: Server) -> None:
    for number in range(20):
        content = index(annotations={"number": str(number)}).content
        assert ask(shared_server, "PUT", "/v2/moved/manifests/latest", content).status == 201
        for _ in range(4):
            assert ask(shared_server, "GET", "/v2/moved/manifests/latest").body == content


def test_what_was_deleted_is_gone_for_every_worker_at_once(shared_server: Server) -> None:
    for number in range(5):
        content = index(annotations={"number": str(number)}).content
        assert ask(shared_server, "PUT", "/v2/deleted/manifests/latest", content).status == 201
        assert {ask(shared_server, "GET", "/v2/deleted/manifests/latest").status for _ in range(4)} == {200}
        assert ask(shared_server, "DELETE", f"/v2/deleted/manifests/{digest_of(content)}").status == 202
        for path in ["latest", digest_of(content)]:
            assert {ask(shared_server, "GET", f"/v2/deleted/manifests/{path}").status for _ in range(4)} == {404}


def test_tags_pushed_by_many_at_once_are_all_there(shared_server: Server) -> None:
    content = index().content
    tags = [f"tag{number:02}" for number in range(40)]
    with ThreadPoolExecutor(16) as pool:
        statuses = pool.map(lambda tag: ask(shared_server, "PUT", f"/v2/tagged/manifests/{tag}", content).status, tags)
        assert set(statuses) == {201}
    for tag in tags:
        assert ask(shared_server, "GET", f"/v2/tagged/manifests/{tag}").body == content
