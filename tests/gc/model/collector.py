"""The steps of the collector; each has its name in docs/gc.md."""

from tests.gc.model.protocol import ABSENT, ENDED, HELD, HELD_AGAIN, LATER, SAME, SWEPT, YOUNG
from tests.gc.model.stores import IDLE, NONE, RUNS, sub, went


def without_marks(p, data, rec):
    """If marks are lost, a marked blob looks again as it is remembered."""
    if p.touch_seen or p.marks != "removed between mark and sweep":
        return data
    return tuple(SAME if x and r else x for x, r in zip(data, rec))


def collector_steps(p, w, st, kills=True):
    """enumerate -> barrier -> mark -> sweep (revision links, layer links, data): re-check, then remove."""
    data, links, tags, acked, sh, ex, procs = st
    pc, rec, todo, marked, garbage, runs = procs[-1]
    blobs = len(w.blobs)
    out = []

    def go(what, pc=pc, rec=rec, todo=todo, marked=marked, garbage=garbage, data=data, links=links, ex=ex, procs=procs):
        if marked and p.touch_serial and p.link_generation == "blob":  # what is kept needs no generation
            data = tuple(LATER if x == SAME and b in marked else x for x, b in zip(data, w.blobs))
            rec = tuple(None if b in marked else x for x, b in zip(rec, w.blobs))
            garbage = frozenset(l for l in garbage if w.digest[l] not in marked)
        out.append(
            (
                (None, None, what),
                (data, links, tags, acked, sh, ex, procs[:-1] + ((pc, rec, todo, marked, garbage, runs),)),
            )
        )

    def stop(what, ex=ex):
        new = tuple(LATER if x == SAME else x for x in data) if p.touch_serial else data
        out.append(((None, None, what), (new, links, tags, acked, sh, ex, procs[:-1] + (IDLE + (runs + 1,),))))

    if pc == "idle":
        if runs < RUNS:
            own = len(links) if p.link_generation == "itself" else 0
            go(
                "starts",
                pc="enumerate" if p.enumerate_first else "barrier",
                rec=(None,) * (blobs + own),
                todo=frozenset(range(blobs + own)),
            )
        return out
    if kills and runs + 1 < RUNS:
        stop("kill -9", ex=0)

    if pc == "enumerate" and todo:
        for k in todo:
            rest = todo - {k}
            if k >= blobs:  # variant: links have generations of their own
                l = k - blobs
                x = HELD if links[l] == HELD_AGAIN else links[l]
                go(f"notes the generation of link {w.links[l]}", todo=rest, rec=sub(rec, k, x), links=sub(links, l, x))
            elif not p.touch_serial:
                go(f"notes the generation of {w.blobs[k]}", todo=rest, rec=sub(rec, k, data[k]))
            elif data[k] == YOUNG:
                go(f"{w.blobs[k]} is young", todo=rest, marked=marked | w.below[w.blobs[k]])
            else:
                x = SAME if data[k] else ABSENT
                go(f"notes the generation of {w.blobs[k]}", todo=rest, rec=sub(rec, k, x), data=sub(data, k, x))
    elif pc == "enumerate":
        if not p.enumerate_first:
            go("sweeps", pc="sweep 0")
        elif p.lease_read == "enumerate":
            go("reads leases", pc="early leases", todo=frozenset(range(len(links))))
        else:
            pc = "barrier"
    elif pc == "early leases":
        if not todo:
            pc = "barrier"
        else:
            k = min(todo)
            go(
                f"reads the lease of {w.links[k]}",
                todo=todo - {k},
                marked=marked | w.below[w.digest[k]] if links[k] >= HELD else marked,
            )
    if pc == "barrier":
        if not (p.barrier and p.lock) or sh == 0:
            go("barrier", pc="mark", todo=frozenset(range(len(links) + len(tags))))
    elif pc == "mark":
        n = len(links)
        left = [
            k
            for k in todo
            if k >= n or not (w.below[w.digest[k]] if w.revision[k] and not w.untagged else {w.digest[k]}) <= marked
        ]
        if not left:
            if p.enumerate_first:
                go("marked", pc="sweep 0", todo=NONE, data=without_marks(p, data, rec))
            else:
                go("marked", pc="enumerate", todo=frozenset(range(blobs)))
        for k in left:
            rest = frozenset(left) - {k}
            if k >= n:
                m = tags[k - n]
                go(f"tag {w.tags[k - n][1]} is {m}", todo=rest, marked=marked | w.below[m] if m else marked)
            elif links[k] < ENDED:
                go(f"no link {w.links[k]}", todo=rest)
            elif w.revision[k] and not w.untagged:
                go(f"manifest {w.links[k]}", todo=rest, marked=marked | w.below[w.digest[k]])
            else:
                if links[k] >= HELD and p.lease_read in ("mark", "wrong clock"):
                    go(f"lease on {w.links[k]}", todo=rest, marked=marked | w.below[w.digest[k]])
                if links[k] < HELD or p.lease_read != "mark":
                    go(f"no lease on {w.links[k]}", todo=rest, garbage=garbage | {k})
    elif pc.startswith("sweep"):
        phases = ["revisions", "layers", "data"] if p.links_first else ["data", "layers", "revisions"]
        n, left = int(pc[6]), []
        while n < 3 and not left:
            if phases[n] == "data":
                left = [b for b in range(blobs) if rec[b] and w.blobs[b] not in marked]
            else:
                left = [l for l in garbage if w.revision[l] == (phases[n] == "revisions") and w.digest[l] not in marked]
            n += not left
        if n == 3:
            stop("ends")
        elif not (p.lock and sh):
            for k in left:
                if phases[n] == "revisions" and any(
                    w.digest[k] != w.digest[o]
                    and (w.digest[k] in w.below[w.digest[o]] if p.top_down else w.digest[o] in w.below[w.digest[k]])
                    for o in left
                ):
                    continue  # not its turn yet
                if phases[n] == "data":
                    name, same = w.blobs[k], data[k] == rec[k]
                else:
                    name, b = f"link {w.links[k]}", w.data[k]
                    same = (
                        links[k] == rec[blobs + k] if p.link_generation == "itself" else b is None or data[b] == rec[b]
                    )
                if same or not p.recheck:
                    go(f"re-checks {name}: unchanged", pc=f"remove {n}", todo=frozenset({k}), ex=1 if p.lock else 0)
                elif phases[n] == "data":
                    go(f"re-checks {name}: changed", pc=f"sweep {n}", marked=marked | {name})
                else:
                    below = w.below[w.digest[k]] if w.revision[k] and p.keep_below else NONE
                    go(f"re-checks {name}: changed", pc=f"sweep {n}", garbage=garbage - {k}, marked=marked | below)
    elif pc.startswith("remove"):
        n, k = int(pc[7]), min(todo)
        after = dict(pc=f"sweep {n}", todo=NONE, ex=0)
        if n == (2 if p.links_first else 0):
            go(f"removes {w.blobs[k]}", **after, rec=sub(rec, k, None), data=sub(data, k, ABSENT))
        else:
            go(
                f"removes link {w.links[k]}",
                **after,
                garbage=garbage - {k},
                links=sub(links, k, SWEPT) if links[k] >= ENDED else links,
                procs=went(procs, k) if w.revision[k] else procs,
            )
    return out
