"""What is said of an exception of somebody else's code: to its caller, and in a log line."""

import asyncio

__all__ = ["encodable", "is_end_of_task", "told"]


def is_end_of_task(error: BaseException) -> bool:
    """Tell a call that is cancelled from one whose code raised the like, e.g. because what it waited for was."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return False


def told(error: BaseException) -> str:
    """Write an exception as ``TypeName: text``."""
    try:
        text = str(error)
    except Exception:  # its __str__ is user code, too
        text = ""
    return encodable(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def encodable(text: str) -> str:
    """Replace what UTF-8 has no form for, e.g. the odd bytes of a file name."""
    return text.encode(errors="backslashreplace").decode()
