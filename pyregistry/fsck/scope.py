"""The facts that a check starts from."""

from dataclasses import dataclass, field

from pyregistry.fsck.sizes import Hashed
from pyregistry.oci.digest import Digest
from pyregistry.storage.seams.rules import Rules


@dataclass(frozen=True, slots=True)
class CheckScope:
    """The rules, what a scrub found, and what is left to running requests. Times in seconds."""

    rules: Rules
    corrupt: frozenset[Digest] = frozenset()
    """Blobs that a scrub found damaged."""
    leave_young: float = 86_400.0
    """Files younger than this may belong to a request that is running."""
    hashed: Hashed = field(default_factory=dict, compare=False)
