"""Where the process starts: the version and plain command lines the short way, everything else through the parser.

Nothing is imported here but what the command at hand needs, and all of it where a Ctrl-C is heard: imports are most of
what a short command does (benchmarks/results/startup.json), so that is when it comes.
"""

import sys

__all__ = ["main"]

INTERRUPTED = 130
IMPORTED = 100_000
"""Objects until the first collection: more than a one-shot command imports, all of it to stay. Measured: 7 ms."""


def main() -> None:
    """Run ``fame`` with the arguments of this process.

    Raises:
        SystemExit: with the exit code.
    """
    try:
        code = _run(sys.argv[1:])
    except KeyboardInterrupt:  # while it was still importing; what runs has a better end
        code = INTERRUPTED
    sys.exit(code)


def _run(arguments: list[str]) -> int | None:
    import gc

    from fame_cli.cli import failing, output

    output.open_missing()
    if arguments == ["--version"]:
        return failing.exit_code_of(_show_version, lambda failure: failing.report(failure, debug=False))
    usual = gc.get_threshold()
    gc.set_threshold(IMPORTED)
    from fame_cli.cli import quick  # measured: 5 ms, which --version doesn't need

    code = quick.run(arguments)
    if code is None:
        from fame_cli.cli.main import app  # measured: 19 ms, and 39 for pydantic once it reads a value

        gc.set_threshold(*usual)
        code = app(standalone_mode=False)
    gc.freeze()  # or the interpreter looks through all of it once more on its way out: measured, 14 ms
    return code


def _show_version() -> None:
    from fame_cli.cli import output
    from fame_cli.version import VERSION

    output.data(f"fame {VERSION}")
