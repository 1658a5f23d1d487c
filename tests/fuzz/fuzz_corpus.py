"""The kept input: of all that the fuzzer found, the shortest that still reaches everything the others reach."""

import base64
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

__all__ = ["keep", "kept", "least"]

CORPUS = Path(__file__).parent / "corpus"
CODE = str(Path(__file__).parents[2] / "fame_cli")

KEPT_BYTES = 2048
"""Longest input that is kept: beyond are mostly whole files with something new at one place."""

Step = tuple[str, int, int]
"""From line to line of a file."""


def kept(name: str) -> list[bytes]:
    """Return the kept input of a target: one in base64 on each line."""
    path = CORPUS / f"{name}.txt"
    return [base64.b64decode(line) for line in path.read_text(encoding="ascii").splitlines()] if path.exists() else []


def keep(name: str, inputs: Iterable[bytes]) -> None:
    """Write the kept input of a target."""
    lines = sorted((base64.b64encode(each).decode() for each in set(inputs)), key=lambda line: (len(line), line))
    CORPUS.mkdir(exist_ok=True)
    (CORPUS / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def least(run: Callable[[bytes], None], inputs: Iterable[bytes]) -> list[bytes]:
    """Return those of some inputs that take a step in our code which no shorter one takes."""
    seen: set[Step] = set()
    found: list[bytes] = []
    for data in sorted((each for each in set(inputs) if len(each) <= KEPT_BYTES), key=lambda each: (len(each), each)):
        steps = _steps(run, data)
        if not steps <= seen:
            seen |= steps
            found.append(data)
    return found


def _steps(run: Callable[[bytes], None], data: bytes) -> set[Step]:
    steps: set[Step] = set()
    before: dict[FrameType, int] = {}

    def line(frame: FrameType, event: str, _: object) -> object:
        if event == "return":
            before.pop(frame, None)
        else:
            steps.add((frame.f_code.co_filename, before.get(frame, 0), frame.f_lineno))
            before[frame] = frame.f_lineno
        return line

    def call(frame: FrameType, _: str, __: object) -> object:
        return line if frame.f_code.co_filename.startswith(CODE) else None

    sys.settrace(call)  # type: ignore[arg-type]  # it returns one of its own kind
    try:
        run(data)
    finally:
        sys.settrace(None)
    return steps
