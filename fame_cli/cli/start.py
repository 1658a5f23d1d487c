"""Where the process starts: the version and plain command lines the short way, everything else through the parser.

Nothing is imported here but what the command at hand needs; the imports inside `main` are what makes the difference
(benchmarks/results/startup.json).
"""

import gc
import sys

from fame_cli.cli import failing, output
from fame_cli.version import VERSION

__all__ = ["main"]

IMPORTED = 100_000
"""Objects until the first collection: more than a one-shot command imports, all of it to stay. Measured: 7 ms."""


def main() -> None:
    """Run ``fame`` with the arguments of this process.

    Raises:
        SystemExit: with the exit code.
    """
    output.open_missing()
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        sys.exit(failing.exit_code_of(_show_version, lambda failure: failing.report(failure, debug=False)))
    usual = gc.get_threshold()
    gc.set_threshold(IMPORTED)
    from fame_cli.cli import quick  # measured: 5 ms, which --version doesn't need

    code = quick.run(arguments)
    if code is None:
        from fame_cli.cli.main import app  # measured: 19 ms, and 39 for pydantic once it reads a value

        gc.set_threshold(*usual)
        code = app(standalone_mode=False)
    gc.freeze()  # or the interpreter looks through all of it once more on its way out: measured, 14 ms
    sys.exit(code)


def _show_version() -> None:
    output.data(f"fame {VERSION}")
