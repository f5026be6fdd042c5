"""Digests: sha256 and sha512, lower case, of the right length, and nothing else."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyregistry.oci.digest import ALGORITHMS, CANONICAL, EMPTY_DIGESTS, Digest, new_hash, parse_algorithm
from pyregistry.oci.errors import DigestInvalid

HEX = "0123456789abcdef"
LENGTHS = {"sha256": 64, "sha512": 128}

REFUSED = {
    "nothing": "",
    "a colon": ":",
    "no encoded part": "sha256:",
    "no algorithm": ":" + HEX * 4,
    "no colon": "sha256" + HEX * 4,
    "a digit less": "sha256:" + (HEX * 4)[:-1],
    "a digit more": "sha256:" + HEX * 4 + "0",
    "upper case": "sha256:" + HEX.upper() * 4,
    "one upper-case digit": "sha256:" + HEX * 3 + HEX[:-1] + "F",
    "an upper-case algorithm": "SHA256:" + HEX * 4,
    "a newline at the end": "sha256:" + HEX * 4 + "\n",
    "a newline instead of the last digit": "sha256:" + (HEX * 4)[:-1] + "\n",
    "NUL at the end": "sha256:" + HEX * 4 + "\0",
    "a space before": " sha256:" + HEX * 4,
    "no hexadecimal digit": "sha256:" + "g" * 64,
    "Arabic digits": "sha256:" + "\u0661" * 64,
    "a parent directory": "sha256:../../../../etc/passwd",
    "the length of the other algorithm": "sha256:" + HEX * 8,
    "sha512 with the length of sha256": "sha512:" + HEX * 4,
    "sha512 and one digit more": "sha512:" + HEX * 8 + "0",
    "sha512 and a megabyte more": "sha512:" + HEX * 8 + "0" * 1_000_000,
    "a second colon": "sha256:sha256:" + HEX * 4,
    "md5": "md5:" + HEX * 2,
    "sha1": "sha1:" + HEX * 2 + "01234567",
    "sha384": "sha384:" + HEX * 6,
    "blake3": "blake3:" + HEX * 4,
    "an algorithm of hashlib that needs a length": "shake_128:" + HEX * 4,
    "an algorithm with a path": "../sha256:" + HEX * 4,
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED.keys())
def test_a_digest_may_not_be(value: str) -> None:
    with pytest.raises(DigestInvalid) as refused:
        Digest(value)
    assert refused.value.detail


@pytest.mark.parametrize(("algorithm", "length"), LENGTHS.items())
def test_a_digest_has_an_algorithm_and_an_encoded_part(algorithm: str, length: int) -> None:
    encoded = (HEX * 8)[:length]
    digest = Digest(f"{algorithm}:{encoded}")
    assert (digest.algorithm, digest.encoded) == (algorithm, encoded)
    assert digest == f"{algorithm}:{encoded}"


@given(
    st.one_of(
        st.builds(
            lambda algorithm, colon, length, more: algorithm + colon + (HEX * 9)[:length] + more,
            st.sampled_from(["sha256", "sha512", "sha384", "SHA256", ""]),
            st.sampled_from([":", "+", ""]),
            st.sampled_from([63, 64, 65, 127, 128, 129]),
            st.one_of(st.just(""), st.text(max_size=2)),
        ),
        st.text(max_size=150),
    )
)
@settings(max_examples=500)
def test_a_digest_is_accepted_exactly_when_algorithm_length_and_characters_are_right(value: str) -> None:
    algorithm, colon, encoded = value.partition(":")
    right = colon == ":" and len(encoded) == LENGTHS.get(algorithm) and set(encoded) <= set(HEX)
    try:
        accepted = Digest(value) == value
    except DigestInvalid:
        accepted = False
    assert accepted == right


@given(st.binary(max_size=200), st.sampled_from(ALGORITHMS))
def test_the_digest_of_bytes_is_their_hash(content: bytes, algorithm: str) -> None:
    digest = Digest.of(content, algorithm)
    assert digest == f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    assert Digest(digest) == digest


@given(st.lists(st.binary(max_size=50)), st.sampled_from(ALGORITHMS))
def test_a_running_hash_has_the_digest_of_all_that_it_was_given(parts: list[bytes], algorithm: str) -> None:
    running = new_hash(algorithm)
    for part in parts:
        running.update(part)
    assert Digest.from_hash(running) == Digest.of(b"".join(parts), algorithm)


def test_the_canonical_algorithm_is_sha256() -> None:
    assert CANONICAL == "sha256"
    assert Digest.of(b"x").algorithm == "sha256"
    assert new_hash().name == "sha256"


def test_the_digests_of_no_bytes_are_known() -> None:
    assert {
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
        "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
    } == EMPTY_DIGESTS


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_the_algorithm_parameter_may_be(algorithm: str) -> None:
    assert parse_algorithm(algorithm) == algorithm


@pytest.mark.parametrize("algorithm", ["", "SHA256", "sha256 ", "sha256\n", "md5", "sha384", "sha256:"])
def test_the_algorithm_parameter_may_not_be(algorithm: str) -> None:
    with pytest.raises(DigestInvalid):
        parse_algorithm(algorithm)
