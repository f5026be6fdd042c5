"""All reachable states, and the three promises in each of them."""

from collections import deque

from tests.gc.model.collector import collector_steps
from tests.gc.model.protocol import BROKEN, CHAIN, ENDED, HOLDS, REFUSED, SWEPT
from tests.gc.model.stores import IDLE
from tests.gc.model.writers import Actor


def safe(w, st):
    """S: every acknowledged manifest that is there is whole, and what a tag names is there."""
    data, links, tags, acked = st[:4]

    def whole(repo, m):
        for c in w.refs[m]:
            l = w.link[repo, c]
            if links[l] == SWEPT or (w.data[l] is not None and not data[w.data[l]]):
                return False
            if w.refs[c] and links[l] >= ENDED and not whole(repo, c):  # (a child may be deleted by its user)
                return False
        return True

    for l in acked:
        repo, m = w.links[l]
        if links[l] >= ENDED:
            if (w.data[l] is not None and not data[w.data[l]]) or not whole(repo, m):
                return False
        elif links[l] == SWEPT and any(r == repo and x == m for (r, _), x in zip(w.tags, tags)):
            return False
    return True


def fresh(p, w, st, memo):
    """F: in a state where the collector rests and no actor is inside an operation, let it run once, alone."""
    data, links, tags, acked, _, _, procs = st
    if procs[-1][0] != "idle" or any(q[0] >= 0 and q[1] for q in procs[:-1]):
        return True
    pushing = any(q[0] < 0 or 0 < q[0] < len(a) for q, a in zip(procs, w.actors))  # begun, and not acknowledged
    key = (data, links, tags, pushing)
    if key not in memo:
        end = (data, links, tags, acked, 0, 0, procs[:-1] + (IDLE + (0,),))
        end = collector_steps(p, w, end, False)[0][1]
        while end[6][-1][0] != "idle":
            end = collector_steps(p, w, end, False)[0][1]
        keep = set()
        for l, (_, m) in enumerate(w.links):
            if w.revision[l] and links[l] >= ENDED and not w.untagged:
                keep |= w.below[m]
        for m in tags:
            keep |= w.below[m] if m else set()
        linked = set().union(*(w.below[w.digest[l]] for l, x in enumerate(links) if x >= ENDED))
        memo[key] = not any(end[0][w.blob[b]] and b not in keep and not (pushing and b in linked) for b in w.blobs)
    return memo[key]


def check(p, w, goal=None, trace=False, limit=4_000_000):
    """All reachable states, breadth first. Returns what was found, how many states, and the traces.
    goal: stop as soon as these are found broken."""
    seen = {w.start: None}
    queue = deque([w.start])
    found, at, memo = {"S": HOLDS, "L": HOLDS, "F": HOLDS}, {}, {}
    while queue:
        st = queue.popleft()
        if found["S"] == HOLDS and not safe(w, st):
            found["S"], at["S"] = BROKEN, st
        for q in st[6][:-1]:
            if q[0] == REFUSED and q[1] in (CHAIN, BROKEN) and found["L"] != BROKEN and found["L"] != q[1]:
                found["L"], at["L"] = q[1], st
        if found["F"] == HOLDS and p.lease_read != "wrong clock" and not fresh(p, w, st, memo):
            found["F"], at["F"] = BROKEN, st
        if goal and all(found[g] == BROKEN for g in goal):
            break
        steps = collector_steps(p, w, st)
        for i in range(len(w.actors)):
            steps += Actor(p, w, st, i).steps
        for what, new in steps:
            if new not in seen:
                seen[new] = (st, what) if trace else None
                queue.append(new)
        if len(seen) > limit:
            raise SystemExit(f"{w.name}: more than {limit} states")
    paths = {}
    for k, st in at.items():
        path = []
        before = st
        while trace and seen[before]:
            before, (i, op, what) = seen[before]
            who = "collector" if i is None else " ".join([w.names[i]] + [x for x in w.actors[i][op] if x])
            path.append(f"{who}: {what}")
        paths[k] = path[::-1]
    return found, len(seen), paths
