"""Small stores, and who is busy on them."""

from tests.gc.model.stores import Scenario, delete, head, mount, put, rm_rf, untag, upload

two = dict(M1="b", M2="b")
SCENARIOS = {
    s.name: s
    for s in [
        Scenario(
            "HEAD, upload, delete",
            two,
            dict(R="b"),
            dict(P1=[head("R", "b"), put("R", "M1")], P2=[upload("R", "b"), put("R", "M2")], D=[delete("R", "M2")]),
            chain=True,
        ),
        Scenario(
            "HEAD, HEAD",
            two,
            dict(R="b"),
            dict(P1=[head("R", "b"), put("R", "M1")], P2=[head("R", "b"), put("R", "M2")]),
        ),
        Scenario(
            "HEAD, HEAD, delete",
            two,
            dict(R="b"),
            dict(P1=[head("R", "b"), put("R", "M1")], P2=[head("R", "b"), put("R", "M2")], D=[delete("R", "M2")]),
            chain=True,
        ),
        Scenario(
            "old image deleted",
            dict(M0="b", **two),
            dict(R="b M0"),
            dict(P1=[head("R", "b"), put("R", "M1")], P2=[upload("R", "b"), put("R", "M2")], D=[delete("R", "M0")]),
        ),
        Scenario(
            "deleted, pushed again",
            dict(M0="b"),
            dict(R="b M0"),
            dict(P1=[head("R", "b"), put("R", "M0")], D=[delete("R", "M0")]),
            store_manifests=True,
        ),
        Scenario(
            "mount, rm -rf source",
            dict(M0="b", M1="b"),
            dict(A="b M0"),
            dict(P1=[mount("A", "B", "b"), put("B", "M1")], O=[rm_rf("A")]),
        ),
        Scenario(
            "HEAD, rm -rf elsewhere",
            dict(M0="b", M1="b"),
            dict(A="b M0", B="b"),
            dict(P1=[head("B", "b"), put("B", "M1")], O=[rm_rf("A")]),
        ),
        Scenario(
            "pushes and rm -rf",
            dict(M0="b", **two),
            dict(A="b M0"),
            dict(P1=[mount("A", "B", "b"), put("B", "M1")], P2=[head("A", "b"), put("A", "M2")], O=[rm_rf("A")]),
        ),
        Scenario(
            "multi-arch, untag",
            dict(C="d", I="C"),
            dict(R="d"),
            dict(P1=[head("R", "d"), put("R", "C"), put("R", "I", "t")], D=[untag("R", "t")]),
            untagged=True,
        ),
        Scenario(
            "multi-arch, rm -rf",
            dict(C="d", I="C"),
            dict(R="d"),
            dict(P1=[head("R", "d"), put("R", "C"), put("R", "I", "t")], O=[rm_rf("R")]),
            untagged=True,
        ),
        Scenario(
            "two children, one layer",
            dict(C1="d", C2="d", I="C1 C2"),
            dict(R="d"),
            dict(P1=[head("R", "d"), put("R", "C1"), put("R", "C2"), put("R", "I", "t")], D=[untag("R", "t")]),
            untagged=True,
        ),
        Scenario(
            "tag moved",
            dict(M1="d", M2="d"),
            dict(R="d"),
            dict(P1=[head("R", "d"), put("R", "M1", "t")], P2=[head("R", "d"), put("R", "M2", "t")]),
            untagged=True,
        ),
        Scenario(
            "index of indexes",
            dict(C="d", I="C", K="I"),
            dict(R="d C I"),
            dict(P1=[head("R", "I"), put("R", "K", "t")], D=[untag("R", "t")]),
            untagged=True,
        ),
        Scenario(
            "orphan child reused",
            dict(C="d", J="C"),
            dict(R="d C"),
            dict(P1=[head("R", "C"), put("R", "J", "u")], D=[untag("R", "u")]),
            untagged=True,
        ),
        Scenario(
            "child is there already",
            dict(C="d", J="C"),
            dict(R="d C"),
            dict(P1=[head("R", "d"), head("R", "C"), put("R", "J", "u")], D=[untag("R", "u")]),
            untagged=True,
        ),
        Scenario(
            "orphan index tagged",
            dict(C="d", I="C"),
            dict(R="d C I"),
            dict(P1=[head("R", "I"), put("R", "I", "t")], P2=[put("R", "I", "u")]),
            untagged=True,
        ),
        Scenario(
            "two indexes, untag",
            dict(C="d", I="C", J="C"),
            dict(R="d C"),
            dict(
                P1=[head("R", "d"), put("R", "C"), put("R", "I", "t")],
                P2=[head("R", "C"), put("R", "J", "u")],
                D=[untag("R", "t")],
            ),
            untagged=True,
            chain=True,
        ),
    ]
}
