"""The lock of a repository."""

from contextlib import AbstractContextManager
from hashlib import blake2b

from pyregistry.oci.names import RepositoryName
from pyregistry.storage.local.driver import Driver


def repository_lock(driver: Driver, name: RepositoryName) -> AbstractContextManager[None]:
    """Return the lock of a change of tags and manifests: a delete by digest must not remove a tag that just moved.

    Repositories share 256 locks. Taken inside a commit section or an exclusive section, never around one.
    """
    stripe = blake2b(name.encode(), digest_size=1).hexdigest()
    return driver.lock(f"repo-{stripe}", exclusive=True)
