"""The protocol with something left out, and what that breaks."""

from tests.gc.model.protocol import BROKEN, CHAIN, HOLDS
from tests.gc.model.scenarios import SCENARIOS

BIG = ("pushes and rm -rf", "two indexes, untag", "multi-arch, rm -rf", "tag moved")
ALL = list(SCENARIOS)
SMALL = [s for s in ALL if s not in BIG]
HEADS = ["HEAD, HEAD"]

peer = dict(
    lock=False,
    barrier=False,
    recheck=False,
    touch_head=False,
    touch_mount=False,
    touch_put=False,
    replace_upload=False,
    keep_below=False,
    lease_read="never",
    lease_end="never",
)
age = dict(age=True, lease_read="never", lease_end="never", touch_when="always")

# name, what differs from the full protocol, expected S L F (None: not asked), scenarios
VARIANTS = [
    (
        "distribution today: mark, enumerate, delete; no locks",
        dict(peer, enumerate_first=False),
        (BROKEN, None, None),
        SMALL,
    ),
    ("PR 3544: enumerate, mark, delete; no locks", peer, (BROKEN, None, None), SMALL),
    (
        "age of the blob as grace, no touch on reuse",
        dict(peer, **age, replace_upload=True),
        (BROKEN, None, None),
        SMALL,
    ),
    (
        "age of the blob as grace, touches, no locks",
        dict(age, lock=False, barrier=False, recheck=False),
        (BROKEN, None, None),
        SMALL,
    ),
    ("full, but the age of the blob as grace, no leases", age, (HOLDS, HOLDS, BROKEN), SMALL),
    ("FULL PROTOCOL", {}, (HOLDS, CHAIN, HOLDS), ALL),
    ("full, wrong clock, leases that run out, grace 0", dict(lease_read="wrong clock"), (HOLDS, BROKEN, None), ALL),
    # safety
    ("no commit lock", dict(lock=False), (BROKEN, None, None), SMALL),
    ("no barrier", dict(barrier=False), (BROKEN, None, None), SMALL),
    ("generation checked at enumeration only (no re-check)", dict(recheck=False), (BROKEN, None, None), SMALL),
    ("mark before enumerate", dict(enumerate_first=False), (BROKEN, None, None), SMALL),
    ("no touch at manifest PUT", dict(touch_put=False), (BROKEN, None, None), SMALL),
    ("no check at manifest PUT", dict(check_put=False), (BROKEN, None, None), SMALL),
    ("manifest PUT keeps an old manifest blob as it is", dict(rewrite_manifest=False), (BROKEN, None, None), SMALL),
    ("touches side by side (read, then set), clock stopped", dict(touch_serial=False), (BROKEN, None, None), HEADS),
    ("touches also without a collector", dict(touch_when="always"), (HOLDS, CHAIN, HOLDS), SMALL),
    (
        "whether a collector runs is asked before the section",
        dict(touch_when="asked before", touch_head=False),
        (BROKEN, None, None),
        HEADS,
    ),
    ("touches may be invisible", dict(touch_seen=False), (HOLDS, CHAIN, HOLDS), SMALL),
    (
        "touches may be invisible, and leave no mark",
        dict(touch_seen=False, marks="never left"),
        (BROKEN, None, None),
        SMALL,
    ),
    (
        "touches may be invisible, marks removed between mark and sweep",
        dict(touch_seen=False, marks="removed between mark and sweep"),
        (BROKEN, None, None),
        SMALL,
    ),
    ("links re-checked by their own time", dict(link_generation="itself"), (BROKEN, None, None), SMALL),
    ("changed manifest kept, what is below it not", dict(keep_below=False), (BROKEN, None, None), SMALL),
    ("the same, index PUT touches all below", dict(keep_below=False, put_below=True), (BROKEN, None, None), SMALL),
    ("children swept before their index", dict(top_down=False), (BROKEN, None, None), SMALL),
    ("data swept before links", dict(links_first=False), (BROKEN, None, None), SMALL),
    # liveness
    ("no leases at all", dict(lease_read="never"), (HOLDS, BROKEN, HOLDS), SMALL),
    ("HEAD takes no lease", dict(lease_head=False), (HOLDS, BROKEN, HOLDS), SMALL),
    ("mount takes no lease", dict(lease_mount=False), (HOLDS, BROKEN, HOLDS), SMALL),
    ("leases read at enumeration only", dict(lease_read="enumerate"), (HOLDS, BROKEN, HOLDS), SMALL),
    ("no touch at HEAD", dict(touch_head=False), (HOLDS, BROKEN, HOLDS), SMALL),
    ("no touch at mount", dict(touch_mount=False), (HOLDS, BROKEN, HOLDS), SMALL),
    ("upload keeps an existing blob as it is", dict(replace_upload=False), (HOLDS, BROKEN, HOLDS), SMALL),
    ("HEAD outside the commit lock", dict(head_locked=False), (HOLDS, BROKEN, HOLDS), SMALL),
    ("HEAD renews the lease, then touches the data", dict(head_data_first=False), (HOLDS, BROKEN, HOLDS), SMALL),
    ("HEAD skips its work when the data is young", dict(skip="data"), (HOLDS, BROKEN, HOLDS), SMALL),
    ("leases ended before the revision link is there", dict(lease_end="before links"), (HOLDS, BROKEN, None), SMALL),
    ("own lease ended before the tag is there", dict(own_end_last=False), (HOLDS, BROKEN, HOLDS), SMALL),
    # freshness
    ("leases never ended", dict(lease_end="never"), (HOLDS, HOLDS, BROKEN), SMALL),
    ("index PUT ends its children's leases, not their layers'", dict(end_below=False), (HOLDS, CHAIN, BROKEN), SMALL),
]
