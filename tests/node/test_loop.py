"""Running a program: how often Python looks for cycles meanwhile, and what becomes of memory."""

import gc
import platform
import resource
import subprocess
import sys

import pytest

from fame_cli.node.loop import COLLECT_AFTER, open_files, run


def test_cycles_are_looked_for_less_often_while_a_node_runs_and_as_before_afterwards() -> None:
    before = gc.get_threshold()

    async def during() -> tuple[tuple[int, int, int], bool]:
        return gc.get_threshold(), gc.get_freeze_count() > 0

    assert run(during()) == (COLLECT_AFTER, True)
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_a_process_may_have_as_many_files_open_as_it_says_up_to_the_limit_of_the_system() -> None:
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or most < 300:
        pytest.skip("the system has another limit")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, most))
        assert open_files(100) == 200
        assert open_files(300) == 300
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, most)
        assert open_files(most + 1) == most
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


FAULTS = """
import resource
import subprocess
import sys
from fame_cli.node.loop import run
from fame_cli.node.runner import Node

def faults() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(300):
        held = [bytearray(65_536 * size) for size in (1, 2, 3, 1)]
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

async def during() -> int:
    async with Node("a1"):
        faults()
        return faults()

print(run(during()))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no such options")
def test_memory_that_large_messages_free_stays_for_the_next_ones() -> None:
    """With the defaults of glibc these 1200 blocks cost 19 200 page faults each time."""
    told = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, timeout=60)
    assert int(told.stdout) < 1000
