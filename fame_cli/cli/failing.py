"""The one place where whatever a command ends with becomes an exit code, and a failure a line on stderr.

It knows the errors of ours and of Python; those of the parser are `main.py`'s, which also has another way to say them.
"""

from collections.abc import Callable

from fame_cli.cli import output
from fame_cli.errors import FameError

__all__ = ["INTERRUPTED", "exit_code_of", "leading", "report"]

INTERRUPTED = 130


def exit_code_of(work: Callable[[], object], report: Callable[[Exception], int]) -> int:
    """Run a command and return its exit code; a reader of stdout that has seen enough ends it without a word.

    Args:
        work: the command; a number it returns is the exit code.
        report: says what went wrong and returns the exit code for it.
    """
    try:
        outcome = work()
        output.flush()
    except (output.ReaderGone, BrokenPipeError):
        output.discard_stdout()
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as failure:  # the boundary of the process: nothing above could report it
        return report(failure)
    return outcome if isinstance(outcome, int) else 0


def report(failure: BaseException, *, debug: bool) -> int:
    """Say in one line on stderr what went wrong; with `debug` where, too.

    Returns:
        The exit code that belongs to it.
    """
    failure = leading(failure)
    if debug:
        output.trace(failure)
    match failure:
        case FameError():
            line, code = str(failure), failure.exit_code
        case OSError():
            output.discard_stdout()  # if that is what can't be written, the interpreter's last flush mustn't fail, too
            line, code = str(failure), 1
        case _:
            line, code = f"internal error: {type(failure).__name__}: {failure}; add --debug to see where", 1
    output.error(" ".join(line.split()))
    return code


def leading(failure: BaseException) -> BaseException:
    """Return the error a group of them is about: the first of ours, else the first."""
    while isinstance(failure, BaseExceptionGroup):
        ours, _ = failure.split(FameError)
        failure = (failure if ours is None else ours).exceptions[0]
    return failure
