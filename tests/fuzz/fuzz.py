"""Fuzz guided by coverage, with atheris: ``make fuzz MINUTES=10``, or this with the names of targets.

Each target runs as a process of its own, from the kept corpus and the seeds, into a folder that git doesn't see. A
crash is a file there, which ``--replay`` runs again. ``--keep`` writes what reached anything new into the kept corpus.
"""

import argparse
import subprocess
import sys
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from random import Random

from fuzz_corpus import keep, kept, least

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RIGS = ("tests/core", "tests/security", "tests/fuzz")
MOST_BYTES = 8192
SLOWEST_S = 10
"""Seconds one input may take before that is a bug."""

READABLE = 0.7
"""Part of all changes that leave JSON readable; the others are bytes anywhere."""


def one(name: str, arguments: list[str]) -> None:
    """Be the process of one target; doesn't return."""
    import atheris  # an extra

    sys.path[:0] = [str(ROOT / folder) for folder in RIGS]
    with atheris.instrument_imports(include=["fame_cli"]):
        from fuzz_targets import TARGETS  # when it can be instrumented
    from fuzz_mutations import mutated

    others = TARGETS[name].seeds()

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        changed = mutated(data, random, others) if random.random() < READABLE else data
        return atheris.Mutate(data, most) if changed == data or len(changed) > most else changed

    atheris.Setup([sys.argv[0], *arguments], TARGETS[name].run, custom_mutator=mutate)
    atheris.Fuzz()


def fuzz(name: str, minutes: float, work: Path) -> int:
    """Fuzz one target; return its exit code."""
    from fuzz_targets import TARGETS  # after the path of the rigs is set

    found = work / name
    found.mkdir(parents=True, exist_ok=True)
    for each in (*TARGETS[name].seeds(), *kept(name)):
        (found / sha256(each).hexdigest()[:16]).write_bytes(each)
    if not minutes:
        return 0
    limits = [f"-max_len={MOST_BYTES}", f"-timeout={SLOWEST_S}", "-rss_limit_mb=2048", "-close_fd_mask=0"]
    run = [f"-max_total_time={max(1, round(60 * minutes))}", "-print_final_stats=1", f"-artifact_prefix={found}-"]
    process = [sys.executable, __file__, "--one", name]
    return subprocess.run([*process, *limits, *run, str(found)], check=False).returncode


def keep_found(name: str, work: Path) -> None:
    """Write what reaches anything new into the kept corpus."""
    from fuzz_targets import TARGETS  # likewise

    keep(name, least(TARGETS[name].run, [*kept(name), *(path.read_bytes() for path in (work / name).iterdir())]))


def main() -> int:
    """Fuzz the targets that are named, else all; return 1 if one has crashed."""
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], sys.argv[3:])
    sys.path[:0] = [str(ROOT), *(str(ROOT / folder) for folder in RIGS)]
    from fuzz_targets import TARGETS  # likewise

    parser = argparse.ArgumentParser(description="Fuzz what reads bytes of others.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each [10]; 0: only --keep")
    parser.add_argument("--work", type=Path, default=ROOT / ".fuzz", help="where input and crashes go [.fuzz]")
    parser.add_argument("--keep", action="store_true", help="write what reached something new to tests/fuzz/corpus")
    parser.add_argument("--replay", type=Path, help="run a file through the target, and nothing else")
    asked = parser.parse_args()
    names = asked.targets or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(TARGETS)}")
    if asked.replay is not None:
        TARGETS[names[0]].run(asked.replay.read_bytes())
        return 0
    if find_spec("atheris") is None:
        parser.error("atheris isn't installed: pip install atheris (it has wheels for CPython on Linux)")
    failed = [name for name in names if fuzz(name, asked.minutes, asked.work)]
    for name in names if asked.keep else ():
        if name not in failed:
            keep_found(name, asked.work)
    for name in failed:
        print(
            f"{name} has crashed: see {asked.work / name}-crash-…; again: fuzz.py {name} --replay FILE", file=sys.stderr
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
