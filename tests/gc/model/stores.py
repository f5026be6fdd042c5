"""Stores, the actors on them, and what a state of the model is."""

from tests.gc.model.protocol import ABSENT, CHAIN, ENDED, GONE, LATER, YOUNG


def head(repo, digest):
    return ("head", repo, digest)


def upload(repo, digest):
    return ("upload", repo, digest)


def mount(source, repo, digest):
    return ("mount", repo, digest, source)


def put(repo, manifest, tag=None):
    return ("put", repo, manifest, tag)


def delete(repo, manifest):
    return ("delete", repo, manifest)


def untag(repo, tag):
    return ("untag", repo, tag)


def rm_rf(repo):
    return ("rm", repo, None)


class Scenario:
    """A store at the start and the actors on it; every actor is a list of operations, done in turn."""

    def __init__(s, name, manifests, start, actors, untagged=False, store_manifests=False, chain=False):
        s.name, s.chain, s.untagged = name, chain, untagged  # untagged: the collector takes untagged manifests
        s.refs = {m: tuple(r.split()) for m, r in manifests.items()}
        for r in [r for rs in s.refs.values() for r in rs]:
            s.refs.setdefault(r, ())
        s.names, s.actors = list(actors), list(actors.values())
        ops = [op for a in s.actors for op in a]
        puts = [op for op in ops if op[0] == "put"]
        s.links = list(
            dict.fromkeys(
                [(r, d) for r, ds in start.items() for d in ds.split()]
                + [(op[1], op[2]) for op in ops if op[0] in ("head", "upload", "mount", "put")]
                + [(op[1], c) for op in puts for c in s.refs[op[2]]]
            )
        )
        there = {d for ds in start.values() for d in ds.split()}
        s.blobs = [d for d in s.refs if not s.refs[d] or untagged or store_manifests]  # data files in the model
        s.tags = list(dict.fromkeys((op[1], op[3]) for op in puts if op[3]))
        s.link = {l: i for i, l in enumerate(s.links)}
        s.blob = {b: i for i, b in enumerate(s.blobs)}
        s.tag = {t: i for i, t in enumerate(s.tags)}
        s.digest = [d for _, d in s.links]  # of a link
        s.data = [s.blob.get(d) for d in s.digest]  # data file of a link, None: not in the model
        s.revision = [bool(s.refs[d]) for d in s.digest]  # revision link, or layer link
        s.below = {}  # digest -> itself and all that it reaches

        def below(d):
            s.below[d] = frozenset({d}).union(*(below(r) for r in s.refs[d]))
            return s.below[d]

        for d in s.refs:
            below(d)
        # promised[a][k]: links about which actor a was told "there it is" before its k-th operation;
        # needed[a][k]: those of them that a PUT from there on refers to
        s.promised, s.needed = [], []
        for a in s.actors:
            have, rows = NONE, []
            for op in a:
                rows.append(have)
                if op[0] in ("head", "upload", "mount") or (op[0] == "put" and not op[3]):
                    have |= {s.link[op[1], d] for d in s.below[op[2]] if (op[1], d) in s.link}
            rows.append(have)
            s.promised.append(rows)
            s.needed.append(
                [
                    have & {s.link[op[1], r] for op in a[k:] if op[0] == "put" for r in s.refs[op[2]]}
                    for k, have in enumerate(rows)
                ]
            )
        acked = frozenset(i for i, (r, d) in enumerate(s.links) if s.refs[d] and d in start.get(r, "").split())
        s.start = (
            tuple(LATER if b in there else ABSENT for b in s.blobs),
            tuple(ENDED if d in start.get(r, "").split() else GONE for r, d in s.links),
            (None,) * len(s.tags),
            acked,
            0,
            0,
            ((0, "", 0, NONE),) * len(s.actors) + (IDLE + (0,),),
        )


# A state is (data, links, tags, acked, shared, exclusive, processes): what exists, which manifests were acknowledged,
# how many hold the commit lock shared, whether the collector holds it exclusively, and the step of every process:
#   an actor  (operation, step, memory, enders)   enders: manifests that ended a lease this actor counts on, or CHAIN
#   collector (step, generations, to do, marked, garbage links, runs so far)
NONE = frozenset()
IDLE = ("idle", (), NONE, NONE, NONE)
RUNS = 2  # the collector may run, or be killed, and then run once more


def sub(t, i, v):
    """The tuple t with v at place i."""
    return t[:i] + (v,) + t[i + 1 :]


def replaced(data, b):
    """A rename into place by a section that saw no collector: over another file, the generation may stay the same."""
    return data if b is None or data[b] else sub(data, b, LATER)


def later(p, data, b, procs):
    """A touch, or a rename over: the generation becomes one that it never was before, or there is a mark.

    Both are LATER, as the collector takes both for a change; a mark can only be left while a collector runs.
    """
    if b is None:
        return data
    if data[b] and not p.touch_seen and (p.marks == "never left" or procs[-1][0] == "idle"):
        return data
    if not p.touch_serial:
        return sub(data, b, data[b] + 1)
    return sub(data, b, YOUNG if p.age else LATER)


def went(procs, manifest_link):
    """A manifest is gone (or lost its tag): pushes that rely on a lease that it had ended are in the admitted chain."""
    return tuple(q[:3] + (CHAIN,) if len(q) == 4 and q[3] != CHAIN and manifest_link in q[3] else q for q in procs)
