"""The protocol of docs/gc.md as an exhaustive model: every interleaving of small actors over a tiny store.

`python -m tests.gc.model [-v] [N ...]`: all variants of the protocol take about two minutes on one core. N: only these
variants; -v: the shortest interleaving for everything that breaks. For each variant it says which can be broken:

  S  safety     an acknowledged (201) manifest that is still there never loses a blob, a child or a link that it needs
  L  liveness   a push that was told "the blob is there" is never refused because the collector took the blob.
                One exception is admitted, the CHAIN: after this push's HEAD (upload, mount) and before its PUT, a
                manifest of the same repository that uses the same blob was committed, which ended the lease, and
                that manifest is gone again (deleted; or untagged, where the collector takes untagged manifests).
                "chain" in the results means: L can be broken in this way and in no other.
  F  freshness  when no push is in progress, one run of the collector frees every unreferenced blob, whatever the
                ages; and a blob whose last link is gone (rm -rf) is freed even while pushes hold leases elsewhere

Exit status 1 if any outcome differs from the expected one, in either direction: a checker that has gone blind is
noticed as well as a broken protocol. "-" in the results: not asked, the search ends when what was asked is found.

How the state space stays small, and why nothing is lost by it:
 * One step is one change of the store. Taking a lock is merged with the step after it, giving it back with the step
   before it: what others do in between, they could as well do before, or after.
 * Of a data file the model keeps whether it exists and whether its generation is the one that the collector remembers.
   A touch gives a generation that never was before, so that is exact; variant "touches side by side" has real numbers.
 * Of a link: absent, removed by the collector, lease ended, lease held. A lease does not run out by itself, that is,
   a push comes in time; but in variant "wrong clock" each reading of a held lease may go either way, which covers
   slow pushes, clocks that jump and --grace 0 in one.
 * Locks per repository are left out: the results hold without them. The collector notes blobs and reads links,
   leases, tags and manifests one at a time and in every order; each removal is a batch of its own.
 * Not here: power loss, fairness of the locks, the brake, referrers (they behave like children).
"""
