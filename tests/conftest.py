"""What holds for every test."""

import logging
import signal
from collections.abc import Iterator

import pytest

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would every process they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _logger() -> Iterator[None]:
    """Leave the logger of nodes as it was, whatever a test has programs do with it."""
    logger = logging.getLogger("fame")
    handlers, level, propagate = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.propagate = handlers, propagate
    logger.setLevel(level)  # which also forgets what it had decided by another level
