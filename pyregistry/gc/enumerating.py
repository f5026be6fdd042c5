"""The generations of all blobs: the part of a run that reads the most files."""

from collections.abc import Iterator
from functools import partial

from pyregistry.common.system_errors import in_words
from pyregistry.gc.candidates import Candidates, PrefixBlobs
from pyregistry.gc.parallel import parallel_map, worth_forking
from pyregistry.gc.types import MarkFailed
from pyregistry.oci.digest import ALGORITHMS
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Collection
from pyregistry.storage.seams.links import links_in_place_of_blobs
from pyregistry.storage.seams.objects import Objects
from pyregistry.storage.seams.reserved import is_reserved

_Directory = tuple[str, str]
"""The algorithm, and the first byte of the digests in hexadecimal."""


def enumerate_blobs(objects: Objects, collection: Collection, processes: int = 1) -> Candidates:
    """Return all blobs of any age with their generations; raise MarkFailed. `processes` as in `parallel_map`."""
    candidates = Candidates()
    try:
        directories = list(_directories(objects))
        for number, directory in enumerate(directories):
            blobs = _read(collection, directory)
            candidates.extend(blobs)
            left = directories[number + 1 :]
            if worth_forking(len(blobs) * len(left), processes):
                with parallel_map(partial(_read, collection), left, processes) as found:
                    for blobs in found:
                        candidates.extend(blobs)
                break
    except OSError as error:
        raise MarkFailed(in_words(error)) from error
    return candidates


def unseen_blobs(objects: Objects) -> Iterator[str]:
    """Yield a sentence for each symbolic link that may lead to blobs; raises MarkFailed."""
    try:
        for path in links_in_place_of_blobs(objects):
            yield f"{path} is a symbolic link, which is not followed: no blob in it is counted or removed; mount it"
    except OSError as error:
        raise MarkFailed(in_words(error)) from error


def _directories(objects: Objects) -> Iterator[_Directory]:
    for algorithm in objects.children(layout.BLOBS):
        if algorithm in ALGORITHMS:
            for prefix in objects.children(layout.child(layout.BLOBS, algorithm)):
                if prefix != layout.MOUNTED and not is_reserved(prefix):
                    yield algorithm, prefix


def _read(collection: Collection, directory: _Directory) -> PrefixBlobs:
    algorithm, prefix = directory
    blobs = PrefixBlobs(algorithm, prefix)
    for encoded, generation in collection.generations(algorithm, prefix):
        blobs.add(encoded, generation)
    return blobs
