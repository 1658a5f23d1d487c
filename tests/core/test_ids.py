"""Ids: even digits, and sender digests that equal the ones on the real wire."""

from collections import Counter

import pytest

from fame_cli.core.ids import ALPHABET, digits_from_bytes, sid_of


@pytest.mark.parametrize(
    ("path", "sid"),
    [
        ("/s1", "4YYDfe32uhoXzWn6Kq7Rf9"),
        ("/s2", "4h5u1PoKqq8GyxqbylK3k6"),
        ("/s1/a1", "1K5UERwemeTrN9YSZnDX9w"),
    ],
)
def test_the_sender_digest_equals_the_check_values_of_the_specification(path: str, sid: str) -> None:
    assert sid_of(path) == sid


def test_every_digit_is_equally_likely() -> None:
    counts = Counter(digits_from_bytes(bytes(range(256))))
    assert set(counts) == set(ALPHABET)
    assert set(counts.values()) == {4}


def test_bytes_that_would_favour_some_digits_are_left_out() -> None:
    assert digits_from_bytes(bytes([247, 248, 255, 0])) == ALPHABET[247 % 62] + "0"


def test_the_alphabet_is_base_62_in_digit_order() -> None:
    assert len(ALPHABET) == 62
    assert ALPHABET[0] + ALPHABET[9] + ALPHABET[10] + ALPHABET[61] == "09aZ"
