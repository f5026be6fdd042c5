"""The parts of a variant of the protocol, and the values of the model."""

from dataclasses import dataclass

GONE, SWEPT, ENDED, HELD, HELD_AGAIN = range(5)  # a link: absent, removed by the collector, lease ended or held
ABSENT, SAME, LATER, YOUNG = range(4)  # a data file, against the generation that the collector remembers
DEAD, REFUSED = -1, -2  # an actor that was killed or gave up; whose PUT was refused
HOLDS, CHAIN, BROKEN = "holds", "chain", "BROKEN"


@dataclass(frozen=True)
class Protocol:
    """The defaults are the full protocol; a variant changes one or a few of them."""

    lock: bool = True  # writers shared, sweep batches exclusive
    barrier: bool = True  # between enumerate and mark, wait for all sections that are open
    recheck: bool = True  # compare the generation again under the exclusive lock
    enumerate_first: bool = True  # then mark
    touch_head: bool = True  # HEAD makes the data's generation later
    touch_mount: bool = True
    touch_put: bool = True
    touch_serial: bool = True  # no two touches of one blob side by side (read the old mtime, set a later one)
    touch_when: str = "collecting"  # a section touches: always | if it sees a collector | "asked before": too early
    touch_seen: bool = True  # a touch changes the generation (False: none does, so a touch leaves a mark)
    marks: str = "kept"  # what a touch that is not seen leaves: kept | removed between mark and sweep | never left
    rewrite_manifest: bool = True  # PUT renames the manifest blob in (or touches it), even if it exists
    check_put: bool = True  # PUT looks for every blob, under the lock
    replace_upload: bool = True  # an upload renames its data in, even if the blob exists
    head_locked: bool = True
    head_data_first: bool = True  # HEAD touches the data, then renews the lease (False: the other way round)
    skip: str = "lease"  # HEAD may skip all that, without the lock, if the lease (or: the data) is young
    lease_head: bool = True  # HEAD 200 takes a lease
    lease_mount: bool = True
    lease_end: str = "last"  # PUT ends the leases it used: last | before links | never
    end_below: bool = True  # an index PUT also ends the leases of what its children use
    own_end_last: bool = True  # PUT by tag ends the lease of its own revision link after the tag is there
    lease_read: str = "mark"  # leases are read while marking | enumerate | never | wrong clock
    link_generation: str = "blob"  # a link is re-checked by the generation of: the blob it names | itself
    keep_below: bool = True  # a garbage manifest found changed is kept with all that is below it
    top_down: bool = True  # garbage manifests are swept from the index to its children
    put_below: bool = False  # an index PUT touches what its children refer to as well
    links_first: bool = True  # sweep links before data
    age: bool = False  # no leases; a young data file is never a candidate
