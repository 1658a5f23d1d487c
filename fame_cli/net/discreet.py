"""A log for libraries that write down, at the level DEBUG, whatever they send: headers with tokens, too."""

import logging
from typing import Any

__all__ = ["Discreet"]


class Discreet(logging.LoggerAdapter[Any]):
    """Pass on what a library logs, but nothing of level DEBUG or below, whatever the program around us asks for.

    Args:
        name: of the library's logger.
    """

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name), {})

    def isEnabledFor(self, level: int) -> bool:
        """Tell whether a level is logged."""
        return level > logging.DEBUG and super().isEnabledFor(level)
