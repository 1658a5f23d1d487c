"""The waits between two tries."""

from itertools import islice

from fame_cli.net.backoff import delays


def test_the_first_try_is_at_once_and_the_waits_double_up_to_the_longest() -> None:
    assert list(islice(delays(lambda: 1.0, first_s=1.0, longest_s=5.0), 6)) == [0.0, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_jitter_keeps_at_least_half_of_a_wait() -> None:
    assert list(islice(delays(lambda: 0.0, first_s=1.0, longest_s=5.0), 4)) == [0.0, 0.5, 1.0, 2.0]
