"""A failed assertion of a helper says what it compared, as one of a test does."""

import pytest

pytest.register_assert_rewrite(
    "tests.conformance.leaves", "tests.conformance.paging", "tests.conformance.pushes", "tests.conformance.situation"
)
