"""A sentinel among honest neighbours, for tests that feed it what is not honest, and whether it still serves them."""

import json
from functools import cache

from core_rig import VECTORS, Json, Rig, make_answer, make_envelope, make_request, offer_of, types, vector_lines

from fame_cli.core.link import Link, LinkKind

MATH = "math1@fame.fabric"

HOSTILE: list[object] = [
    None,
    True,
    0,
    -1,
    2**53,
    2**63,
    2**64,
    10**30,
    1.5,
    "",
    "x",
    "@",
    "x@",
    "nobody@/s1",
    "__sys__@/s1",
    "__sys__@/s2",
    "x@*",
    "*@*.x",
    "x@*.fame.fabric",
    "x@/s1/a1",
    "x@/s2/a2",
    "x" * 5000,
    "x@" + "a" * 5000,
    "\u0000",
    "é\U0001f600@fame.fabric",
    [],
    [None],
    ["x", 5],
    {},
    {"a": {"b": [1]}},
    {"fame.trace": 5, "fame.ext": 5, "fame.window": "x", "fame.via": 5, "fame.timeout": "x", "fame.digest": 5},
    {"fame.via": "s9", "fame.session": [], "fame.timeout": 10**30, "fame.digest": "x"},
    {"fame.trace": [None, "x" * 9999], "fame.ext": ["cancel"], "fame.window": -1, "fame.instance": {}},
]
"""Values that don't belong where they will be put."""


RECORD: Json = {
    "id": "s9",
    "instance": "i",
    "incarnation": 2,
    "links": {"base": 0, "version": 2, "final": 3, "put": {"s2": 1, "s1": 1}},
    "offers": {"base": 0, "version": 1, "put": {MATH: 1, "op:own own@fame.fabric": 2, "/s9": 1}, "drop": ["x"]},
}
"""What a sentinel of the mesh says of another."""


def everybody() -> tuple[Rig, list[Link]]:
    """Be a sentinel with every kind of neighbour, calls in flight in every direction, and a stream being produced."""
    rig = Rig("s1")
    links = [
        rig.child("a1"),
        rig.child("c", ours=True),
        rig.peer("s2", ours=True),
        rig.dialed_peer("s3"),
        rig.parent("root", path="/s1", ours=True),
        rig.open(LinkKind.CHILD, "late"),
        rig.open(LinkKind.PEER, dialed=True),
    ]
    rig.bind(links[0], MATH)
    rig.do(rig.core.bind("own@fame.fabric"))
    rig.do(rig.core.advertise("op:own", "own@fame.fabric"))
    rig.feed(links[1], make_request("__rpc__x@/s1/c"))
    rig.feed(links[1], make_request("__rpc__x@/s1/c", to="own@fame.fabric", corrId="c2", rtype=4))
    rig.session(links[1]).flow.send_window = 4
    while rig.core.writable(("__rpc__x@/s1/c", "c2")):
        rig.do(rig.core.reply_item(("__rpc__x@/s1/c", "c2"), b"1", 0.0))
    rig.call(MATH, streaming=True)
    rig.call("far@fame.fabric")
    return rig, links


def is_still_well(rig: Rig, links: list[Link], attacker: Link) -> bool:
    """Tell whether an honest neighbour of the attacker still has its link and is served.

    Whatever was dispatched here meanwhile is answered first: that must not fail either.
    """
    for request in rig.requests():
        if request.key is not None:
            rig.do(rig.core.reply(request.key, b"1", rig.now))
    honest = next(link for link in links[1:3] if link is not attacker)
    if not rig.session(honest).is_open:
        return False
    rig.said(honest)
    rig.feed(honest, make_envelope({"type": "NodeHeartbeat"}))
    return "NodeHeartbeatAck" in types(rig.said(honest))


@cache
def seeds() -> list[Json]:
    """Return one real envelope for every frame type of the transcripts, and one of each that only we send."""
    found: dict[str, Json] = {}
    for path in sorted(VECTORS.glob("*.jsonl")):
        for line in vector_lines(path.stem):
            if line.get("opcode") == "binary" and not line.get("elided"):
                envelope = json.loads(str(line["text"]))
                found.setdefault(envelope["frame"]["type"], envelope)
    ours = [
        make_envelope({"type": "CallCancel"}, replyTo="__rpc__x@/s1/c", corrId="c1"),
        make_envelope({"type": "CapabilityWithdraw", "capabilities": ["a"], "address": MATH}),
        make_envelope({"type": "SecureOpen", "cid": "c", "ephPub": "p"}, to=MATH, replyTo="x@/s1/c", corrId="c"),
        make_request("__rpc__x@/s1/c", meta={"fame.trace": []}, rtype=7, corrId="c9"),
        make_request("__rpc__x@/s1/c", to="own@fame.fabric", meta={"fame.trace": []}, rtype=7, corrId="c8"),
        make_answer("__rpc__x@/s1/c", "c1", result=1),
        make_envelope({"type": "CreditUpdate", "flowId": "c2", "credits": 32}),
        make_envelope(found["NodeAttach"]["frame"], meta=offer_of("i")),  # type: ignore[arg-type]  # it is a dict
        make_envelope({"type": "MeshSummary", "have": {"s1": [1, 1, 1], "s9": [2, 1, 1]}, "after": "", "upto": "x"}),
        make_envelope({"type": "MeshUpdate", "records": [RECORD]}),
        make_envelope({"type": "NodeHeartbeat"}, meta={"fame.digest": "0123456789abcdef"}),
    ]
    return [*found.values(), *ours]
