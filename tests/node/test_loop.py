"""Running a program: how often Python looks for cycles meanwhile."""

import gc

from fame_cli.node.loop import COLLECT_AFTER, run


def test_cycles_are_looked_for_less_often_while_a_node_runs_and_as_before_afterwards() -> None:
    before = gc.get_threshold(), gc.get_freeze_count()

    async def during() -> tuple[tuple[int, int, int], bool]:
        return gc.get_threshold(), gc.get_freeze_count() > 0

    assert run(during()) == (COLLECT_AFTER, True)
    assert (gc.get_threshold(), gc.get_freeze_count()) == before
