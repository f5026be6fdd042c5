"""Fixtures of the tests of logins."""

import pytest


@pytest.fixture
def patient_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let passwords wait for their check as long as it takes, with a thread of the usual priority.

    Under other load a nicer thread gets a hundredth of a processor: passwords would be refused after ten seconds.
    """
    monkeypatch.setattr("pyregistry.auth.bcrypt_pool.WAIT_SECONDS", 600.0)
    monkeypatch.setattr("pyregistry.auth.bcrypt_pool.NICER_BY", 0)
