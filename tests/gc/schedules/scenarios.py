"""Those of the model, and some that it does not know."""

from tests.gc.schedules.scenario import Scenario, delete, head, lose, mount, put, rm_rf, tear, unlink, untag, upload

_TWO = {"M1": "b", "M2": "b"}
_PUSH = (head("r", "d"), put("r", "C"), put("r", "I", "t"))
_SCENARIOS = (
    Scenario(
        "HEAD, upload, delete",
        _TWO,
        {"r": "b"},
        {"P1": (head("r", "b"), put("r", "M1")), "P2": (upload("r", "b"), put("r", "M2")), "D": (delete("r", "M2"),)},
        chain=True,
    ),
    Scenario(
        "HEAD, HEAD", _TWO, {"r": "b"}, {"P1": (head("r", "b"), put("r", "M1")), "P2": (head("r", "b"), put("r", "M2"))}
    ),
    Scenario(
        "HEAD, HEAD, delete",
        _TWO,
        {"r": "b"},
        {"P1": (head("r", "b"), put("r", "M1")), "P2": (head("r", "b"), put("r", "M2")), "D": (delete("r", "M2"),)},
        chain=True,
    ),
    Scenario(
        "old image deleted",
        {"M0": "b", **_TWO},
        {"r": "b M0"},
        {"P1": (head("r", "b"), put("r", "M1")), "P2": (upload("r", "b"), put("r", "M2")), "D": (delete("r", "M0"),)},
    ),
    Scenario(
        "deleted, pushed again",
        {"M0": "b"},
        {"r": "b M0"},
        {"P1": (head("r", "b"), put("r", "M0")), "D": (delete("r", "M0"),)},
    ),
    Scenario(
        "mount, rm -rf source",
        {"M0": "b", "M1": "b"},
        {"a": "b M0"},
        {"P1": (mount("a", "b", "b"), put("b", "M1")), "O": (rm_rf("a"),)},
    ),
    Scenario(
        "HEAD, rm -rf elsewhere",
        {"M0": "b", "M1": "b"},
        {"a": "b M0", "b": "b"},
        {"P1": (head("b", "b"), put("b", "M1")), "O": (rm_rf("a"),)},
    ),
    Scenario(
        "pushes and rm -rf",
        {"M0": "b", **_TWO},
        {"a": "b M0"},
        {"P1": (mount("a", "b", "b"), put("b", "M1")), "P2": (head("a", "b"), put("a", "M2")), "O": (rm_rf("a"),)},
    ),
    Scenario(
        "multi-arch, untag", {"C": "d", "I": "C"}, {"r": "d"}, {"P1": _PUSH, "D": (untag("r", "t"),)}, untagged=True
    ),
    Scenario("multi-arch, rm -rf", {"C": "d", "I": "C"}, {"r": "d"}, {"P1": _PUSH, "O": (rm_rf("r"),)}, untagged=True),
    Scenario(
        "two children, one layer",
        {"C1": "d", "C2": "d", "I": "C1 C2"},
        {"r": "d"},
        {"P1": (head("r", "d"), put("r", "C1"), put("r", "C2"), put("r", "I", "t")), "D": (untag("r", "t"),)},
        untagged=True,
    ),
    Scenario(
        "tag moved",
        {"M1": "d", "M2": "d"},
        {"r": "d"},
        {"P1": (head("r", "d"), put("r", "M1", "t")), "P2": (head("r", "d"), put("r", "M2", "t"))},
        untagged=True,
    ),
    Scenario(
        "index of indexes",
        {"C": "d", "I": "C", "K": "I"},
        {"r": "d C I"},
        {"P1": (head("r", "I"), put("r", "K", "t")), "D": (untag("r", "t"),)},
        untagged=True,
    ),
    Scenario(
        "orphan child reused",
        {"C": "d", "J": "C"},
        {"r": "d C"},
        {"P1": (head("r", "C"), put("r", "J", "u")), "D": (untag("r", "u"),)},
        untagged=True,
    ),
    Scenario(
        "child is there already",
        {"C": "d", "J": "C"},
        {"r": "d C"},
        {"P1": (head("r", "d"), head("r", "C"), put("r", "J", "u")), "D": (untag("r", "u"),)},
        untagged=True,
    ),
    Scenario(
        "orphan index tagged",
        {"C": "d", "I": "C"},
        {"r": "d C I"},
        {"P1": (head("r", "I"), put("r", "I", "t")), "P2": (put("r", "I", "u"),)},
        untagged=True,
    ),
    Scenario(
        "two indexes, untag",
        {"C": "d", "I": "C", "J": "C"},
        {"r": "d C"},
        {"P1": _PUSH, "P2": (head("r", "C"), put("r", "J", "u")), "D": (untag("r", "t"),)},
        untagged=True,
        chain=True,
    ),
    # What the model does not know, or what finds a mutant sooner.
    Scenario("HEAD", {"M": "b"}, {"r": "b"}, {"P": (head("r", "b"), put("r", "M"))}),
    Scenario("HEAD, PUT", _TWO, {"r": "b"}, {"P1": (head("r", "b"), put("r", "M1")), "P2": (put("r", "M2"),)}),
    Scenario("upload", {"M": "b"}, {"r": "b"}, {"P": (upload("r", "b"), put("r", "M"))}),
    Scenario("mount", {"M": "b"}, {"a": "b"}, {"P": (mount("a", "r", "b"), put("r", "M"))}),
    Scenario(
        "tag taken away, tagged again",
        {"C": "d", "I": "C"},
        {"r": "d C I", "r:t": "I"},
        {"P1": (put("r", "I", "u"),), "D": (untag("r", "t"),)},
        untagged=True,
    ),
    Scenario(
        "referrer of an orphan",
        {"M": "d", "S": "e ^M", "T": "f ^S"},
        {"r": "d e f M S T"},
        {"P1": (head("r", "M"), put("r", "M", "t")), "D": (untag("r", "t"),)},
        untagged=True,
    ),
    Scenario(
        "subject comes later",
        {"M": "d", "S": "e ^M"},
        {"r": "d e S"},
        {"P1": (head("r", "d"), put("r", "M", "t")), "D": (untag("r", "t"),)},
        untagged=True,
    ),
    Scenario(
        "referrer pushed",
        {"M": "d", "S": "e ^M"},
        {"r": "d e M", "r:t": "M"},
        {"P1": (head("r", "e"), put("r", "S")), "D": (delete("r", "M"),)},
        untagged=True,
    ),
    Scenario(
        "blob deleted, pushed again",
        {"M": "b"},
        {"r": "b"},
        {"P1": (upload("r", "b"), put("r", "M")), "D": (unlink("r", "b"),)},
    ),
    Scenario(
        "sha512",
        {"M": "b"},
        {"r": "b"},
        {"P1": (head("r", "b"), put("r", "M")), "P2": (upload("r", "b"), put("r", "M", "t")), "D": (delete("r", "M"),)},
        algorithm="sha512",
        chain=True,
    ),
    Scenario(
        "sha512 of the CNCF registry, uploaded",
        {"M": "b"},
        {"r": "b"},
        {"P1": (upload("r", "b"), put("r", "M", "t"))},
        algorithm="sha512",
        aliased="r",
    ),
    Scenario(
        "sha512 of the CNCF registry, mounted",
        {"M": "b"},
        {"a": "b", "r": "b"},
        {"P1": (mount("a", "r", "b"), put("r", "M", "t"))},
        algorithm="sha512",
        aliased="a",
    ),
    Scenario(
        "emptied repository",
        {"M": "b"},
        {"r": "b M"},
        {"P1": (upload("r", "b"), put("r", "M", "t")), "D": (delete("r", "M"),), "O": (rm_rf("r"),)},
    ),
    # A disk loses a file, which may come back.
    Scenario(
        "manifest lost",
        {"M": "b", "N": "c"},
        {"r": "b c M N", "r:t": "M"},
        {"O": (lose("r", "M"),), "D": (delete("r", "N"),)},
    ),
    Scenario(
        "manifest lost, pushed again",
        {"M": "b"},
        {"r": "b M", "r:t": "M"},
        {"P1": (lose("r", "M"), head("r", "b"), put("r", "M", "t"))},
        untagged=True,
    ),
    Scenario(
        "index lost",
        {"C": "d", "I": "C"},
        {"r": "d C I", "r:t": "I"},
        {"O": (lose("r", "I"),), "P1": (put("r", "C", "u"),)},
        untagged=True,
    ),
    Scenario(
        "child lost",
        {"C": "d", "B": "e", "I": "B C"},
        {"r": "d e B C I", "r:t": "I"},
        {"O": (lose("r", "C"),), "P1": (put("r", "B", "u"),), "D": (untag("r", "u"),)},
        untagged=True,
    ),
    Scenario(
        "subject lost",
        {"M": "d", "S": "e ^M"},
        {"r": "d e M S", "r:t": "M"},
        {"O": (lose("r", "M"),), "P1": (put("r", "S"),)},
        untagged=True,
    ),
    Scenario(
        "tag torn",
        {"M": "d", "N": "e"},
        {"r": "d e M N", "r:t": "M"},
        {"O": (tear("r", "t"),), "P1": (put("r", "N", "u"),), "D": (untag("r", "u"),)},
        untagged=True,
    ),
    Scenario(
        "orphan used, then lost",
        {"C": "d", "I": "C", "K": "I"},
        {"r": "d C I"},
        {"P1": (put("r", "K", "u"), lose("r", "I"))},
        untagged=True,
    ),
)
SCENARIOS = {scenario.name: scenario for scenario in _SCENARIOS}
