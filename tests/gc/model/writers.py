"""The steps of those who push and delete; each has its name in docs/gc.md."""

from tests.gc.model.protocol import BROKEN, CHAIN, DEAD, ENDED, GONE, HELD, HELD_AGAIN, REFUSED, SWEPT
from tests.gc.model.stores import NONE, later, replaced, sub, went


class Actor:
    """One actor in one state; `steps` are the states that its next step can lead to."""

    def __init__(s, p, w, state, i) -> None:
        s.p, s.w, s.i, s.steps = p, w, i, []
        s.data, s.links, s.tags, s.acked, s.shared, s.exclusive, s.procs = state
        s.op, s.pc, s.memory, s.enders = s.procs[i]
        s.ops = w.actors[i]
        if 0 <= s.op < len(s.ops):
            s.kind, s.repo, s.what = s.ops[s.op][:3]
            s.locks = 1 if p.lock and (s.kind != "head" or p.head_locked) else 0  # its sections hold the lock shared
            s.done = (s.op + 1, "", 0, s.enders if s.op + 1 < len(s.ops) else NONE)
            (s.put if s.kind == "put" else s.reuse if s.kind in ("head", "upload", "mount") else s.take_away)()

    def go(s, what, then, data=None, links=None, tags=None, acked=None, lock=0, procs=None):
        s.steps.append(
            (
                (s.i, s.op, what),
                (
                    s.data if data is None else data,
                    s.links if links is None else links,
                    s.tags if tags is None else tags,
                    s.acked if acked is None else acked,
                    s.shared + lock,
                    s.exclusive,
                    sub(s.procs if procs is None else procs, s.i, then),
                ),
            )
        )

    def at(s, pc, memory=0):
        return (s.op, pc, memory, s.enders)

    def may_enter(s):
        return not (s.locks and s.exclusive)

    def touches(s):
        """A section that sees no collector when it begins need not touch: a later one waits for it at the barrier."""
        if s.p.touch_when == "asked before":
            return s.pc.endswith("seen")
        return s.p.touch_when == "always" or s.procs[-1][0] != "idle"

    def killed(s):
        s.go("kill -9", (DEAD, "", 0, NONE), lock=-s.locks)

    def take_away(s):
        w, links, tags = s.w, s.links, s.tags
        if s.kind == "delete":
            l = w.link[s.repo, s.what]
            if l in s.acked:
                s.go(
                    "202",
                    s.done,
                    links=sub(links, l, GONE),
                    procs=went(s.procs, l),
                    acked=s.acked - {l},
                    tags=tuple(None if (r, m) == (s.repo, s.what) else m for (r, _), m in zip(w.tags, tags)),
                )
        elif s.kind == "untag":
            t = w.tag[s.repo, s.what]
            if tags[t] and w.link[s.repo, tags[t]] in s.acked:
                s.go("202", s.done, tags=sub(tags, t, None), procs=went(s.procs, w.link[s.repo, tags[t]]))
        else:  # rm -rf: any entries, in any order, until it stops: also a partial or a killed one
            for l, (repo, d) in enumerate(w.links):
                if repo == s.repo and links[l] >= ENDED:
                    s.go(
                        f"removes the link of {d}",
                        s.at("rm"),
                        links=sub(links, l, GONE),
                        procs=went(s.procs, l) if w.revision[l] else None,
                        acked=s.acked - {l},
                    )
            for t, (repo, name) in enumerate(w.tags):
                if repo == s.repo and tags[t]:
                    s.go(
                        f"removes tag {name}",
                        s.at("rm"),
                        tags=sub(tags, t, None),
                        procs=went(s.procs, w.link[repo, tags[t]]),
                    )
            s.go("stops", s.done)

    def reuse(s):
        """HEAD, upload, mount: what ends with "the blob is there"."""
        p, w, data, links, pc = s.p, s.w, s.data, s.links, s.pc or s.kind
        l = w.link[s.repo, s.what]
        b = w.data[l]
        held = HELD_AGAIN if p.link_generation == "itself" else HELD

        def not_found(lock=0):  # the client uploads a layer; for a manifest it starts again, which is another push
            s.go("404", (DEAD, "", 0, NONE) if w.revision[l] else (s.op, "upload", 0, NONE), lock=lock)

        if pc == "head":
            if p.skip and data[b]:
                s.go("data is there (no lock)", s.at("skip"))
            if s.may_enter():
                if links[l] >= ENDED and data[b]:
                    then = "1st" if s.touches() or not p.head_data_first else "2nd"
                    s.go("link and data are there", s.at(then), lock=s.locks)
                else:
                    not_found()
        elif pc == "skip":
            if links[l] >= HELD or (p.skip == "data" and links[l] >= ENDED):
                s.go("200, nothing to renew", s.done)
            else:
                s.go("has to renew", s.at(""))
        elif pc in ("1st", "2nd", "set"):
            last = pc == "2nd" or (pc == "set" and not p.head_data_first)
            then, lock = (s.done, -s.locks) if last else (s.at("2nd"), 0)
            if pc == "set":
                s.go("sets the later time", then, data=sub(data, b, s.memory + 1), lock=lock)
            elif (pc == "1st") == p.head_data_first:
                if not p.touch_head:
                    s.go("(no touch)", then, lock=lock)
                elif not data[b]:
                    not_found(-s.locks)
                elif not p.touch_serial:
                    s.go("reads the data's time", s.at("set", data[b]))
                else:
                    s.go("touches the data", then, data=later(p, data, b, s.procs), lock=lock)
            elif links[l] < ENDED:
                not_found(-s.locks)
            else:
                s.go("renews the lease", then, links=sub(links, l, held) if p.lease_head else None, lock=lock)
            s.killed()
        elif pc == "upload":
            if s.may_enter():
                keep = data[b] and not p.replace_upload
                moved = later(p, data, b, s.procs) if s.touches() else replaced(data, b)
                s.go("renames the uploaded data in", s.at("link"), data=None if keep else moved, lock=s.locks)
        elif pc == "mount":
            if s.may_enter():
                if links[w.link[s.ops[s.op][3], s.what]] >= ENDED and data[b]:
                    s.go("source is there", s.at("touch" if s.touches() else "link"), lock=s.locks)
                else:
                    not_found()
        elif pc == "touch":
            s.go(
                "touches the data", s.at("link"), data=later(p, data, b, s.procs) if p.touch_mount and data[b] else None
            )
            s.killed()
        elif pc == "link":
            lease = held if s.kind != "mount" or p.lease_mount else ENDED
            s.go("writes the link, 201", s.done, links=sub(links, l, lease), lock=-s.locks)
            s.killed()

    def put(s):
        """The commit section of a manifest PUT."""
        p, w, data, links, pc = s.p, s.w, s.data, s.links, s.pc
        tag = s.ops[s.op][3]
        own = w.link[s.repo, s.what]
        refs = [w.link[s.repo, c] for c in w.refs[s.what]]
        if pc == "" and p.touch_when == "asked before":
            s.go("asks for a collector", s.at("none seen" if s.procs[-1][0] == "idle" else "seen"))
            return
        if pc in ("", "none seen", "seen"):
            if s.may_enter():
                if not p.check_put or all(links[l] >= ENDED and (w.data[l] is None or data[w.data[l]]) for l in refs):
                    touches = s.touches() if pc != "none seen" else False
                    s.go("all blobs are there", s.at("touch" if touches else "untouched data"), lock=s.locks)
                else:
                    s.refuse(refs)
            return
        s.killed()
        if pc == "touch":
            touches = refs + [w.link[s.repo, g] for c in w.refs[s.what] for g in w.refs[c]] if p.put_below else refs
            b = w.data[touches[s.memory]]
            then = s.at("touch", s.memory + 1) if s.memory + 1 < len(touches) else s.at("data")
            if not p.touch_put or b is None:
                s.go("(no touch)", then)
            elif not data[b]:
                s.refuse(refs, -s.locks) if p.check_put else s.go("(nothing to touch)", then)
            elif not p.touch_serial:
                s.go("reads the data's time", s.at("set", data[b]))
            else:
                s.go(f"touches {w.blobs[b]}", then, data=later(p, data, b, s.procs))
        elif pc == "set":
            s.go("sets the later time", s.at("data"), data=sub(data, w.data[refs[0]], s.memory + 1))
        elif pc in ("data", "untouched data"):
            b = w.data[own]
            keep = b is None or (data[b] and not p.rewrite_manifest)
            written = later(p, data, b, s.procs) if pc == "data" else replaced(data, b)
            s.go(
                "writes the manifest blob",
                s.at("early end" if p.lease_end == "before links" else "link"),
                data=None if keep else written,
            )
        elif pc == "early end":
            links, procs = s.end_leases(own, tag)
            s.go("ends the leases", s.at("link"), links=links, procs=procs)
        elif pc == "link":
            held = HELD_AGAIN if p.link_generation == "itself" else HELD
            s.go(
                "writes the revision link",
                s.at("tag" if tag else "last"),
                links=sub(links, own, ENDED if tag and not p.own_end_last else held),
            )
        elif pc == "tag":
            t = w.tag[s.repo, tag]
            old = s.tags[t]
            s.go(
                "writes the tag",
                s.at("last"),
                tags=sub(s.tags, t, s.what),
                procs=went(s.procs, w.link[s.repo, old]) if old and old != s.what else None,
            )
        elif pc == "last":
            links, procs = s.end_leases(own, tag) if p.lease_end == "last" else (links, s.procs)
            enders = procs[s.i][3] if s.op + 1 < len(s.ops) else NONE
            s.go(
                "ends the leases, 201" if p.lease_end == "last" else "201",
                s.done[:3] + (enders,),
                links=links,
                procs=procs,
                acked=s.acked | {own},
                lock=-s.locks,
            )

    def refuse(s, refs, lock=0):
        """404 MANIFEST_BLOB_UNKNOWN. The collector's fault, if it took what this push was told is there."""
        why = "nothing was promised, or the operator took it"
        if not any(s.links[l] == GONE for l in refs):
            if any(
                l in s.w.promised[s.i][s.op]
                and (s.links[l] == SWEPT or (s.w.data[l] is not None and not s.data[s.w.data[l]]))
                for l in refs
            ):
                why = CHAIN if s.enders == CHAIN else BROKEN
        s.go("404 MANIFEST_BLOB_UNKNOWN", (REFUSED, why, 0, NONE), lock=lock)

    def end_leases(s, own, tag):
        """Ends the leases that this manifest uses; notes it for all (also itself) who count on one of them later."""
        p, w = s.p, s.w
        used = w.below[s.what] - {s.what} if p.end_below else w.refs[s.what]
        ends = {w.link[s.repo, d] for d in used if (s.repo, d) in w.link} | ({own} if tag else set())
        visible = p.lease_end == "before links" or s.links[own] >= ENDED
        procs = list(s.procs)
        for j, q in enumerate(s.procs[:-1]):
            if 0 <= q[0] < len(w.actors[j]) and q[3] != CHAIN:
                needed = w.needed[j][q[0]]
                if q[1] == "2nd" and not p.head_data_first:
                    needed = needed | {w.link[w.actors[j][q[0]][1:3]]}
                if needed & ends:
                    procs[j] = q[:3] + (q[3] | {own} if visible else CHAIN,)
        return tuple(ENDED if l in ends and x >= HELD else x for l, x in enumerate(s.links)), tuple(procs)
