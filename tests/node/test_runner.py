"""The shell around a core: links open and end, time passes, names are served, and a node ends whole."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path

import msgspec
import pytest
from host_rig import Work
from node_rig import MATH, Asked, bounded, pair, turns, until
from websockets.asyncio.server import ServerConnection, serve

from fame_cli.core import attach as handshake
from fame_cli.core.effects import Request
from fame_cli.core.grant import Grant
from fame_cli.core.link import LinkKind
from fame_cli.errors import ConnectError, RemoteProtocolError
from fame_cli.net.memory import MemoryTransport, memory_pair
from fame_cli.node import runner
from fame_cli.node.dialing import attach, keep_attached
from fame_cli.node.host import AgentHost
from fame_cli.node.runner import Node
from fame_cli.node.secured import secured
from fame_cli.security.settings import SecuritySettings


class Stubborn(MemoryTransport):
    """Never be closed, whatever is done."""

    async def wait_closed(self) -> None:
        await asyncio.get_running_loop().create_future()


class Silent:
    """Take requests and answer none."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def dispatch(self, request: Request) -> None:
        self.requests.append(request)

    def dispatch_cancelled(self, key: tuple[str, str], reason: str) -> None: ...

    def flow_opened(self, key: tuple[str, str]) -> None: ...

    def is_idle(self) -> bool:
        return not self.requests


def is_open(path: Path) -> bool:
    """Tell whether this process has a file open."""
    there = path.stat()
    for number in os.listdir("/dev/fd"):
        with suppress(OSError):  # the listing itself is one of them, and over
            if os.path.samestat(os.fstat(int(number)), there):
                return True
    return False


@asynccontextmanager
async def silent_sentinel() -> AsyncIterator[str]:
    """Accept WebSockets and never say a word."""

    async def accept(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with serve(accept, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/fame/v1/attach/ws/downstream"


# Links


def test_both_ends_of_a_link_know_each_other() -> None:
    async def main() -> None:
        async with pair(Work()) as nodes:
            assert nodes.calling.core.table.path == "/serving/calling"
            assert nodes.calling.attached.is_set()
            assert not nodes.serving.attached.is_set()
            assert (nodes.calling.link_count(), nodes.serving.link_count()) == (1, 1)

    bounded(main())


def test_a_refused_attach_says_why() -> None:
    async def main() -> None:
        near, far = memory_pair()
        async with Node("s1", routes=True) as sentinel, Node("a1") as agent:
            sentinel.open_link(far, LinkKind.PEER, "a1", dialed=False)
            link = agent.open_link(near, LinkKind.PARENT, "", dialed=True)
            refusal = await agent.attach_answer(link)
            assert refusal is not None
            assert refusal.code == "INVALID_ATTACH"
            await until(lambda: sentinel.link_count() == agent.link_count() == 0)
            assert not agent.attached.is_set()

    bounded(main())


def test_a_link_that_ends_before_the_answer_says_so() -> None:
    async def main() -> None:
        near, far = memory_pair()
        async with Node("a1") as agent:
            link = agent.open_link(near, LinkKind.PARENT, "", dialed=True)
            far.close(1001, "going")
            refusal = await agent.attach_answer(link)
            assert refusal is not None
            assert (refusal.code, refusal.reason) == ("CONNECTION_LOST", "1001 going")

    bounded(main())


def test_a_neighbour_that_never_answers_the_attach_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "ATTACH_DEADLINE_S", 0.05)

    async def main() -> None:
        async with silent_sentinel() as url, Node("a1") as agent:
            with pytest.raises(ConnectError, match=r"ended before it was open: no attach in time$"):
                await attach(agent, url, LinkKind.PARENT)
            assert agent.link_count() == 0

    bounded(main())


def test_giving_up_an_attach_closes_the_link() -> None:
    async def main() -> None:
        async with silent_sentinel() as url, Node("a1") as agent:
            task = asyncio.ensure_future(attach(agent, url, LinkKind.PARENT))
            await until(lambda: agent.link_count() == 1)
            task.cancel()
            await asyncio.wait([task])
            assert agent.link_count() == 0

    bounded(main())


def test_whoever_waits_for_links_hears_of_each_change() -> None:
    async def main() -> None:
        async with pair(Work()) as nodes:
            changed = asyncio.ensure_future(nodes.calling.links_changed())
            await turns()
            assert not changed.done()
            nodes.link.close(1001, "gone")
            await changed
            assert not nodes.calling.attached.is_set()

    bounded(main())


def test_garbage_harms_no_link() -> None:
    async def main() -> None:
        async with pair(Work()) as nodes:
            for garbage in (b"", b"\xff", b"{}", b"[]", b"null", b"{" * 10_000, b'{"frame":{"type":"Nonsense"}}'):
                nodes.link.send(garbage)
            assert await nodes.ask("add", 1, 2).result() == 3
            assert nodes.serving.link_count() == 1

    bounded(main())


def test_an_observer_sees_what_goes_and_what_comes() -> None:
    async def main() -> None:
        seen: list[tuple[str, str, float]] = []

        def observe(direction: str, data: bytes, at_s: float) -> None:
            seen.append((direction, json.loads(data)["frame"]["type"], at_s))

        near, far = memory_pair()
        async with Node("s1", routes=True, observer=observe) as sentinel, Node("a1") as agent:
            sentinel.open_link(far, LinkKind.CHILD, "a1", dialed=False)
            await agent.attach_answer(agent.open_link(near, LinkKind.PARENT, "", dialed=True))
        assert [each[:2] for each in seen[:2]] == [("in", "NodeAttach"), ("out", "NodeAttachAck")]
        assert seen[0][2] <= seen[1][2]

    bounded(main())


# Time


def test_calls_end_when_their_time_is_over_each_at_its_own() -> None:
    async def main() -> None:
        ended: list[str] = []

        class Noting(Asked):
            def call_ended(self, outcome: object) -> None:
                ended.append(f"{outcome.kind} {outcome.message}")  # type: ignore[attr-defined]  # an Outcome
                super().call_ended(outcome)  # type: ignore[arg-type]

        async with pair(Work()) as nodes:
            asked = [Noting(nodes.calling) for _ in range(3)]
            for each, timeout_s in zip(asked, (0.15, 0.05, 0.1), strict=True):
                nodes.calling.call(each, MATH, "hold", b"{}", timeout_s=timeout_s)
            for each in asked:
                await each.end()
        assert ended == ["timeout 0.05", "timeout 0.1", "timeout 0.15"]

    bounded(main())


# Names


def test_an_address_that_is_taken_is_told_to_whoever_waits() -> None:
    async def main() -> None:
        async with pair(Work()) as nodes:
            nodes.calling.serve(MATH, AgentHost(nodes.calling, Work()))
            nodes.calling.serve("free@fame.fabric", AgentHost(nodes.calling, Work()))
            assert (await nodes.calling.bound(MATH)).code == "ADDRESS_TAKEN"
            assert (await nodes.calling.bound("free@fame.fabric")).code == ""
            assert (await nodes.calling.bound(MATH)).code == "ADDRESS_TAKEN"  # it needn't be waited for in time

    bounded(main())


def test_what_is_no_address_cannot_be_served() -> None:
    async def main() -> None:
        async with Node("a1") as node:
            with pytest.raises(RemoteProtocolError, match="not an address"):
                node.serve("a b@c", AgentHost(node, Work()))

    bounded(main())


def ask(nodes: Node, to: str) -> Asked:
    asked = Asked(nodes)
    asked.key = nodes.call(asked, to, "add", msgspec.json.encode({"x": 3, "y": 4}))
    return asked


def test_a_pool_is_served_at_every_host_below_it() -> None:
    async def main() -> None:
        async with pair(Work()) as nodes:
            nodes.serving.serve("pool@*.fame.fabric", AgentHost(nodes.serving, Work()))
            assert await ask(nodes.calling, "pool@a.fame.fabric").result() == 7
            assert await ask(nodes.calling, "pool@fame.fabric").result() == 7
            assert (await ask(nodes.calling, "pool@elsewhere").end()).code == "NO_ROUTE"
            nodes.serving.unserve("pool@*.fame.fabric")
            assert (await ask(nodes.calling, "pool@a.fame.fabric").end()).code == "NO_ROUTE"

    bounded(main())


def test_a_participant_is_served_at_the_nodes_own_path() -> None:
    async def main() -> None:
        async with pair(Work()) as nodes:
            nodes.serving.serve("tools", AgentHost(nodes.serving, Work()))
            assert await ask(nodes.calling, "tools@/serving").result() == 7
            assert (await ask(nodes.calling, "other@/serving").end()).code == "NO_ROUTE"

    bounded(main())


def test_what_a_service_gets_is_what_was_asked() -> None:
    async def main() -> None:
        silent = Silent()
        async with pair(Work()) as nodes:
            nodes.serving.serve("silent@fame.fabric", silent)
            asked = Asked(nodes.calling)
            key = nodes.calling.call(asked, "silent@fame.fabric", "op", b'{"a":[1]}', streaming=True)
            await until(lambda: bool(silent.requests))
            (request,) = silent.requests
            assert (request.key, request.address, request.method) == (key, "silent@fame.fabric", "op")
            assert (bytes(request.params), request.streaming) == (b'{"a":[1]}', True)

    bounded(main())


# The end


def test_what_a_node_has_spawned_ends_with_it() -> None:
    async def main() -> None:
        ended: list[str] = []

        async def wait() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.append("wait")

        async with Node("a1") as node:
            node.spawn(wait())
            await turns()
        assert ended == ["wait"]

    bounded(main())


def test_a_fault_in_what_a_node_has_spawned_ends_the_node_and_comes_out() -> None:
    async def main() -> None:
        async def fail() -> None:
            raise ZeroDivisionError

        async with Node("a1") as node:
            node.spawn(fail())
            await asyncio.get_running_loop().create_future()

    with pytest.raises(ExceptionGroup) as caught:
        bounded(main())
    assert caught.group_contains(ZeroDivisionError)


@pytest.mark.parametrize("fails", [False, True])
def test_a_node_that_ends_has_written_its_audit_log_and_closes_it(tmp_path: Path, fails: bool) -> None:
    audit = tmp_path / "audit.jsonl"

    async def main() -> None:
        settings = SecuritySettings(profile="gated", home=tmp_path / "home", audit=audit)
        security = await secured(settings, Grant("a1"), named=False)
        assert security is not None
        async with Node("a1", security=security) as node:
            security.tell("link_attached", {})
            await turns()
            assert is_open(audit)
            if fails:
                node.spawn(fail())
                await asyncio.get_running_loop().create_future()

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) if fails else nullcontext():
        bounded(main())
    assert len(audit.read_text().splitlines()) == 1
    assert not is_open(audit)


def test_a_neighbour_that_does_not_close_cannot_hold_a_node_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CLOSE_S", 0.05)

    async def main() -> None:
        async with Node("s1", routes=True) as node:
            node.open_link(Stubborn(), LinkKind.CHILD, "a1", dialed=False)

    bounded(main())


def test_a_node_that_ends_ends_its_calls() -> None:
    async def main() -> None:
        async with pair(Work()) as nodes:
            asked = nodes.ask("hold", "a")
            await turns()
        assert asked.outcome is not None
        assert (asked.outcome.kind, asked.outcome.code) == ("nack", "LINK_LOST")

    bounded(main())


def test_a_node_that_ends_does_not_dial_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CLOSE_S", 0.3)

    async def main() -> None:
        accepted: list[str] = []

        async def accept(connection: ServerConnection) -> None:
            assert connection.request is not None
            accepted.append(connection.request.path)
            await connection.wait_closed()

        async with serve(accept, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/fame"
            async with Node("a1") as node:
                node.spawn(keep_attached(node, url, LinkKind.PARENT))
                node.open_link(Stubborn(), LinkKind.CHILD, "b", dialed=False)  # makes the end take its time
                await until(lambda: bool(accepted) and node.link_count() == 2)
        assert accepted == ["/fame/a1"]

    bounded(main())
