"""Neighbours that go to the limits of their links, and rules that change while they do."""

import asyncio
import contextlib
import json
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from hostile_rig import FABRIC, INNOCENTS, Stage, given, run
from hostile_wire import Identity, Json, Wire, new_id, request
from waiting import eventually
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = pytest.mark.e2e

VICTIM = f"{INNOCENTS[1]}@{FABRIC}"
SEEN_S = 15.0
TIGHT = {"routes": 20, "calls_in_flight": 10, "messages_per_s": 2000, "errors": 20}
FEW = {"links_per_host": 20, "links_per_grant": 3}
ELSEWHERE = ("127.0.0.2", 0)
"""Another address than that of the innocents."""

LOOK = [
    {"id": "admins-look", "action": "introspect", "role": "admin", "effect": "allow"},
    {"id": "nobody-else-looks", "action": "introspect", "effect": "deny"},
]


def write(policy: Path, rules: list[dict[str, str]]) -> None:
    """Write a policy in one step, as an editor or a deployment does."""
    fresh = policy.with_suffix(".new")
    fresh.write_text(json.dumps({"version": "1", "default_effect": "allow", "rules": rules}), encoding="utf-8")
    fresh.replace(policy)


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Give a stage with narrow limits and a policy."""
    folder = tmp_path_factory.mktemp("tight")
    policy = folder / "policy.yaml"
    write(policy, LOOK)
    made = Stage(
        "overlay", folder, limits=TIGHT | FEW, security={"policy": str(policy), "audit": str(folder / "audit.log")}
    )
    try:
        yield made.start()
    finally:
        made.close()


def test_addresses_beyond_the_quota_are_refused(tight: Stage) -> None:
    async def body() -> None:
        async with tight.undisturbed(), tight.attached(tight.identity(addresses=[f"n*@{FABRIC}"])) as wire:
            codes = [(await wire.bind(f"n{number}@{FABRIC}")).get("code") for number in range(25)]
            assert codes == [None] * 20 + ["RATE_LIMITED"] * 5

    run(body())


def test_calls_beyond_the_quota_are_refused_and_those_under_way_are_answered(tight: Stage) -> None:
    async def body() -> None:
        async with tight.undisturbed(), tight.attached(tight.identity()) as wire:
            sent = [await linger(wire) for _ in range(15)]
            answers = await answers_to(wire, sent, len(sent))
            assert [frame.get("code") for frame in answers].count("RATE_LIMITED") == 5
            assert [frame["type"] for frame in answers].count("Data") == 10

    run(body())


def test_more_messages_a_second_than_allowed_end_their_own_link(tight: Stage) -> None:
    async def body() -> None:
        async with tight.undisturbed(), tight.attached(tight.identity()) as wire:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(20_000):
                    await wire.send(b'{"id":"1","frame":{"type":"NodeHeartbeat"}}')
            assert (await wire.closed())[0] == 1008

    run(body())


async def is_turned_away(stage: Stage, who: Identity) -> bool:
    """Dial once more than is allowed."""
    try:
        async with stage.dial(who, local_addr=ELSEWHERE):
            return False
    except InvalidStatus as error:
        return error.response.status_code == 429


def test_one_host_has_so_many_links_and_all_others_are_let_in(tight: Stage) -> None:
    async def body() -> None:
        async with tight.undisturbed(), contextlib.AsyncExitStack() as stack:
            for _ in range(FEW["links_per_host"]):
                await stack.enter_async_context(tight.attached(tight.identity(), local_addr=ELSEWHERE))
            for _ in range(30):
                assert await is_turned_away(tight, tight.identity())
            async with tight.watching() as wire:
                assert await tight.reaches(wire)

        async def has_room() -> bool | None:
            with contextlib.suppress(InvalidStatus, ConnectionClosed):
                async with tight.attached(tight.identity(), local_addr=ELSEWHERE):
                    return True
            return None

        await eventually(has_room, within_s=SEEN_S)

    run(body())


def test_one_grant_has_so_many_links_and_gains_nothing_by_them(tight: Stage) -> None:
    who = tight.identity(roles=["client"])

    async def body() -> None:
        async with tight.undisturbed(), contextlib.AsyncExitStack() as stack:
            links = [tight.attached(who, ours=True, local_addr=ELSEWHERE) for _ in range(FEW["links_per_grant"])]
            wires = [await stack.enter_async_context(link) for link in links]
            for _ in range(10):
                assert await is_turned_away(tight, who)
            sent = [await linger(wire) for wire in wires for _ in range(6)]
            assert len(sent) > TIGHT["calls_in_flight"]
            answers = [frame for wire in wires for frame in await answers_to(wire, sent, 6)]
            assert [frame.get("code") for frame in answers].count("RATE_LIMITED") == 8
            assert [frame["type"] for frame in answers].count("Data") == 10
            async with tight.watching() as wire:
                assert await tight.reaches(wire)

    run(body())


async def linger(wire: Wire) -> str:
    """Ask an innocent for something that takes it half a second; returns the correlation id."""
    corr_id = new_id()
    how = {"to": VICTIM, "replyTo": wire.inbox, "rtype": 2, "corrId": corr_id}
    await wire.say(request("linger", corr_id, s=0.5), **how)
    return corr_id


async def answers_to(wire: Wire, corr_ids: Collection[str], count: int) -> list[Json]:
    """Return the frames of so many answers."""
    answers: list[Json] = []
    while len(answers) < count:
        answers += [each["frame"] for each in await wire.receive() if each.get("corrId") in corr_ids]
    return answers


def test_neighbours_that_stay_within_their_limits_use_up_none_of_their_sentinels(tight: Stage) -> None:
    """What six of them send goes over one link to the other sentinel, and is more than one link may bring."""

    async def flood(to: str) -> None:
        async with tight.attached(tight.identity(roles=["client"]), at="s2") as wire:
            for _ in range(3):
                for number in range(500):
                    await wire.say({"type": "Data", "payload": number}, to=to, corrId=new_id())
                await given(0.5)

    async def body() -> None:
        sink = tight.identity(roles=["agent"])
        address = f"{sink.node_id}@{FABRIC}"
        async with tight.undisturbed(worst_s=5.0), tight.attached(sink) as wire:
            assert (await wire.bind(address))["ok"]
            await asyncio.gather(*(flood(address) for _ in range(6)))

    run(body())


def test_what_a_policy_hides_is_shown_to_those_it_names_alone(tight: Stage) -> None:
    async def body() -> None:
        async with tight.undisturbed(), tight.attached(tight.identity(roles=["client"])) as wire:
            for method in ("fabric.routes", "fabric.links", "fabric.graph", "fabric.names", "fabric.status"):
                assert (await wire.call("__sys__@/s1", method))["code"] == "UNAUTHORIZED"
        async with tight.attached(tight.identity(roles=["admin"])) as admin:
            assert "result" in (await admin.call("__sys__@/s1", "fabric.routes"))["payload"]

    run(body())


def test_a_policy_that_changes_in_the_middle_bars_at_once_and_costs_no_link(tight: Stage) -> None:
    policy = tight.folder / "policy.yaml"

    async def body() -> None:
        async with tight.undisturbed(), tight.attached(tight.identity()) as wire:
            assert await tight.reaches(wire)
            write(policy, [{"id": "not-him", "subject": wire.who.node_id, "effect": "deny"}, *LOOK])

            async def is_barred() -> bool | None:
                return (await wire.call(VICTIM, "add", x=3, y=4)).get("code") == "UNAUTHORIZED" or None

            await eventually(is_barred, within_s=SEEN_S)
            await wire.alive()
            policy.write_text("rules: [{effect: nonsense", encoding="utf-8")
            await given(1.5)  # nothing shows that a file was looked at and passed over
            assert await is_barred()
            write(policy, LOOK)

            async def is_let_through() -> bool | None:
                return await tight.reaches(wire) or None

            await eventually(is_let_through, within_s=SEEN_S)

    run(body())


def test_the_audit_log_has_the_denials_and_no_secret(tight: Stage) -> None:
    async def body() -> None:
        async with tight.undisturbed(), tight.attached(tight.identity()) as wire:
            assert (await wire.bind(f"free@{FABRIC}"))["code"] == "UNAUTHORIZED"

    run(body())
    said = (tight.folder / "audit.log").read_text(encoding="utf-8")
    assert f"free@{FABRIC}" in said
    for secret in (*tight.shown, *tight.private()):
        assert secret not in said
