"""What a table of very many addresses costs a router: real cores in this process, no sockets.

A sentinel with a client below it calls an agent below it, or an agent at a sentinel it is linked to: one request and
one answer pass its core. The tables, small and large, are measured in turn, so that a machine that is slow for a while
is slow for both.
"""

import gc
import json
import statistics
import time
import timeit
from collections.abc import Iterator
from itertools import count
from typing import Any

from fame_cli.core.effects import Effect, Send
from fame_cli.core.link import LOCAL, Link, LinkKind
from fame_cli.core.node import NodeCore
from fame_cli.core.routing import route
from fame_cli.core.settings import EXTENSIONS, Settings

SMALL = 10
PIECE = 2000
CREDIT_EVERY = 100
STAMP = "2026-01-01T00:00:00.000Z"

Json = dict[str, Any]


def encoded(frame: Json, **fields: object) -> bytes:
    """Write an envelope."""
    envelope = {"version": "1.0", "id": "e", "traceId": "t", "flowId": "f", "seqId": 0, "flowFlags": 0, "frame": frame}
    return json.dumps(envelope | {"ts": STAMP} | fields, separators=(",", ":")).encode()


class Router:
    """Be a sentinel with a client below it, and with so many addresses of children or of a linked sentinel.

    Args:
        addresses: how many there are.
        meshed: True when they are bound at the other sentinel.
    """

    def __init__(self, addresses: int, *, meshed: bool) -> None:
        ids = count(1)
        self.core = NodeCore(Settings("s1", "i", routes=True), lambda: f"id{next(ids):014}", lambda: STAMP)
        self._numbers = count(1)
        self.client = self._attach(LinkKind.CHILD, "c", "downstream", ("cancel", "sys", "window"))
        self.names = [f"agent-{number:06}@fame.fabric" for number in range(addresses)]
        if meshed:
            self.agent = self._attach(LinkKind.PEER, "s2", "peer", EXTENSIONS)
            self._learn()
        else:
            self.agent = self._attach(LinkKind.CHILD, "a", "downstream", ("cancel", "sys", "window"))
            for name in self.names:
                self.take(self.agent, encoded({"type": "AddressBind", "address": name}, corrId="b"))

    def _attach(self, kind: LinkKind, name: str, origin: str, extensions: tuple[str, ...]) -> Link:
        link = Link(next(self._numbers), kind, False, name)
        self.core.link_opened(link, 0.0)
        frame = {"type": "NodeAttach", "originType": origin, "systemId": name, "instanceId": name}
        meta = {"fame.ext": list(extensions), "fame.window": 256, "fame.instance": name}
        self.take(link, encoded(frame, corrId="attach", meta=meta))
        return link

    def _learn(self) -> None:
        """Have the other sentinel tell of its addresses, piece by piece."""
        self.take(self.agent, encoded({"type": "MeshSummary", "have": {}}))
        record = {"id": "s2", "instance": "s2", "incarnation": 1}
        links = {"base": 0, "version": 1, "put": {"s1": 1}}
        self.take(self.agent, encoded({"type": "MeshUpdate", "records": [record | {"links": links}]}))
        for number, first in enumerate(range(0, len(self.names), PIECE)):
            put = dict.fromkeys(self.names[first : first + PIECE], 1)
            offers = {"base": number, "version": number + 1, "put": put}
            self.take(self.agent, encoded({"type": "MeshUpdate", "records": [record | {"offers": offers}]}))
        self.core.tick(0.0)

    def take(self, link: Link, data: bytes) -> list[Effect]:
        """Give the core one message."""
        return self.core.receive(link, data, 0.0)

    def call(self, corr_id: str, to: str) -> tuple[bytes, bytes]:
        """Make the request and the answer of one call."""
        reply_to = "__rpc__x@/s1/c"
        asked = {"jsonrpc": "2.0", "id": "c", "method": "add", "params": {"kwargs": {"x": 3, "y": 4}}}
        told = {"jsonrpc": "2.0", "id": "c", "result": 7}
        request = {"to": to, "replyTo": reply_to, "corrId": corr_id, "rtype": 2}
        return (
            encoded({"type": "Data", "payload": asked}, **request),
            encoded({"type": "Data", "payload": told}, to=reply_to, corrId=corr_id),
        )


def spread(names: list[str], calls: int) -> Iterator[str]:
    """Name addresses from all over a table, in turn."""
    step = max(1, len(names) // calls)
    return (names[(number * step) % len(names)] for number in range(calls))


def seconds_a_call(router: Router, names: list[str], calls: int, prefix: str) -> float:
    """Pass calls to these addresses and return what one takes."""
    made = [router.call(f"{prefix}-{number}", to) for number, to in enumerate(spread(names, calls))]
    credit = encoded({"type": "CreditUpdate", "flowId": "f", "credits": 256})
    take, client, agent = router.take, router.client, router.agent
    passed = 0
    started = time.perf_counter()
    for number, (request, answer) in enumerate(made):
        passed += len(take(client, request)) + len(take(agent, answer))
        if number % CREDIT_EVERY == 0:
            take(client, credit)
            take(agent, credit)
    took = time.perf_counter() - started
    assert passed >= 2 * calls, "a call was refused"
    return took / calls


def growth(addresses: int, rounds: int, calls: int, *, meshed: bool) -> Json:
    """Compare what a call costs a router that knows few addresses with one that knows many.

    Of the many it is asked for a few again and again (``same``), and for another one with each call (``large``): the
    first is what the size of the table costs, the second has the CPU fetch what it hasn't in its caches, too.
    """
    few, many = Router(SMALL, meshed=meshed), Router(addresses, meshed=meshed)
    for router in (few, many):
        sent = router.take(router.client, router.call("first", router.names[-1])[0])[0]
        assert isinstance(sent, Send)
        assert sent.link is router.agent
    gc.collect()
    gc.freeze()
    cases = [(few, few.names), (many, many.names[:SMALL]), (many, many.names)]
    took: list[list[float]] = [[], [], []]
    for number in range(rounds):
        for case in (0, 1, 2) if number % 2 else (2, 1, 0):
            took[case].append(seconds_a_call(*cases[case], calls, f"{case}-{number}"))
    gc.unfreeze()
    small, same, large = (statistics.median(each) for each in took)
    return {
        "small_us": round(small * 1e6, 2),
        "same_us": round(same * 1e6, 2),
        "large_us": round(large * 1e6, 2),
        "same_times": round(same / small, 3),
        "large_times": round(large / small, 3),
        "lookup_us": lookup_us(many, rounds),
    }


def lookup_us(router: Router, rounds: int) -> Json:
    """Return what it takes to find exact addresses in a full table, as `find` and as the whole decision."""
    table, client = router.core.table, router.client
    names = list(spread(router.names, 10_000))

    def find() -> None:
        for name in names:
            table.find(name, client)

    def decide() -> None:
        for name in names:
            route(name, None, client, table)

    assert all(table.find(name, client) not in (None, LOCAL) for name in names)
    return {
        name: round(statistics.median(timeit.repeat(verb, number=1, repeat=rounds)) / len(names) * 1e6, 3)
        for name, verb in (("find", find), ("route", decide))
    }
