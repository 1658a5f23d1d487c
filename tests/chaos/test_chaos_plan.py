"""A seed is one plan: the same fabric, the same faults at the same times, and every kind of them in the long run."""

from chaos_plan import AGENTS, CALLERS, KINDS, draw_fabric, draw_faults


def test_a_seed_draws_the_same_faults_again_and_another_seed_others() -> None:
    plans = [draw_faults(seed, draw_fabric(seed), 600) for seed in (7, 7, 8)]
    assert plans[0] == plans[1] != plans[2]


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    fabric = draw_fabric(7)
    short = draw_faults(7, fabric, 60)
    assert draw_faults(7, fabric, 600)[: len(short)] == short


def test_every_fabric_is_whole() -> None:
    sizes = set()
    for seed in range(30):
        fabric = draw_fabric(seed)
        sizes.add(len(fabric.sentinels))
        assert (len(fabric.agents), len(fabric.callers)) == (AGENTS, CALLERS)
        assert all(len(fabric.dialed_by(name)) == 1 for name in (*fabric.agents, *fabric.callers))
        assert len({dialer for dialer, _ in fabric.wires if dialer in fabric.sentinels}) >= len(fabric.sentinels) - 1
    assert sizes == {2, 3, 4}


def test_ten_minutes_have_faults_of_every_kind_every_few_seconds() -> None:
    for seed in range(5):
        fabric = draw_fabric(seed)
        faults = draw_faults(seed, fabric, 600)
        assert {fault.kind for fault in faults} == set(KINDS)
        assert 130 < len(faults) < 400
        known = {*fabric.processes, *(f"{dialer}>{listener}" for dialer, listener in fabric.wires)}
        assert {fault.target for fault in faults} <= known


def test_a_full_disk_is_one_that_somebody_has_a_file_on_and_some_fabrics_have_mailboxes() -> None:
    postmen = set()
    for seed in range(20):
        fabric = draw_fabric(seed)
        postmen.add(fabric.postman)
        full = {fault.target for fault in draw_faults(seed, fabric, 600) if fault.kind == "disk full"}
        assert full <= {*fabric.agents, *fabric.callers, fabric.postman}
    assert {"", "s2"} < postmen
