"""How long to wait before the next try: at once, then longer and longer, never in step with others.

Pure but for the random source it is given. The jitter spreads the reconnects of many nodes after one sentinel's
restart (see "Exponential Backoff And Jitter", the variant that keeps half of the delay).
"""

from collections.abc import Callable, Iterator

__all__ = ["delays"]

FIRST_S = 0.1
LONGEST_S = 5.0


def delays(random: Callable[[], float], first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> Iterator[float]:
    """Yield the seconds to wait before each next try: 0, then about `first_s` doubling up to `longest_s`.

    Args:
        random: returns a number in [0, 1).
    """
    yield 0.0
    delay = first_s
    while True:
        yield delay * (0.5 + random() / 2)
        delay = min(delay * 2, longest_s)
