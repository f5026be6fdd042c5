"""The buffers of uploads: together never above the budget, and as large as ever where few uploads are in progress."""

import pytest

from pyregistry.storage.uploads.batches import BATCH_BYTES, FIRST_BATCH_BYTES, batches
from pyregistry.threads.upload_budget import BUDGET_BYTES, READ_BYTES, Budget
from tests.storage.pushing import stream

_CONNECTIONS = 2_000
"""Of a worker, at most."""


def _with(uploads: int) -> Budget:
    budget = Budget()
    for _ in range(uploads):
        budget.enter()
    return budget


@pytest.mark.parametrize("uploads", [1, 2, 7, 8, 16, 17, 63, 100, 400, 1_000, _CONNECTIONS])
async def test_the_buffers_of_any_number_of_uploads_are_within_the_budget(uploads: int) -> None:
    budget = _with(uploads)
    held = 3 * budget.read_size()
    assert uploads * (held + 2 * (budget.batch_size(BATCH_BYTES) + held)) <= BUDGET_BYTES


@pytest.mark.parametrize("uploads", [0, 1, 4, 8])
async def test_a_few_uploads_have_whole_buffers(uploads: int) -> None:
    budget = _with(uploads)
    assert (budget.read_size(), budget.batch_size(BATCH_BYTES), budget.batch_size(FIRST_BATCH_BYTES)) == (
        READ_BYTES,
        BATCH_BYTES,
        FIRST_BATCH_BYTES,
    )


async def test_an_upload_that_ends_leaves_its_share_to_the_others() -> None:
    budget = _with(100)
    before = budget.batch_size(BATCH_BYTES)
    for _ in range(96):
        budget.leave()
    assert before < BATCH_BYTES == budget.batch_size(BATCH_BYTES)


async def test_a_pause_ends_a_batch() -> None:
    chunks = [b"", b"a", b"b", b"", b"", b"c" * FIRST_BATCH_BYTES, b"d", b""]
    assert [b"".join(batch) for batch in [b async for b in batches(stream(*chunks))]] == [
        b"ab",
        b"c" * FIRST_BATCH_BYTES + b"d",
    ]
