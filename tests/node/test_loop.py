"""Running a program: how often Python looks for cycles meanwhile."""

import gc
import resource

import pytest

from fame_cli.node.loop import COLLECT_AFTER, open_files, run


def test_cycles_are_looked_for_less_often_while_a_node_runs_and_as_before_afterwards() -> None:
    before = gc.get_threshold(), gc.get_freeze_count()

    async def during() -> tuple[tuple[int, int, int], bool]:
        return gc.get_threshold(), gc.get_freeze_count() > 0

    assert run(during()) == (COLLECT_AFTER, True)
    assert (gc.get_threshold(), gc.get_freeze_count()) == before


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
