"""Flows have the names their senders choose; a stranger who uses another's name must not stand in its way."""

import json

import pytest
from core_rig import MATH, Rig, attach_of, make_envelope, make_request

from fame_cli.core.link import Link, LinkKind

FLOW = "flow-of-somebody"
ANSWER = {"type": "Data", "payload": {"jsonrpc": "2.0", "id": 1, "result": 1}}


def credits(rig: Rig, link: Link) -> int:
    """Return how many credits of the flow a neighbour was given."""
    grants = [message["frame"] for message in rig.granted(link)]
    return sum(int(str(frame["credits"])) for frame in grants if frame["flowId"] == FLOW)  # type: ignore[index]


@pytest.mark.parametrize("corr_id", ["c0", FLOW])
def test_whoever_sends_what_is_no_answer_gets_its_credit_back_however_it_names_its_flow(corr_id: str) -> None:
    rig = Rig()
    peer, client = rig.peer("s2", ours=True), rig.child("c", ours=True)
    for number in range(600):
        rig.feed(
            peer,
            make_envelope(ANSWER, id=f"x{number}", to=f"__rpc__x@{client.remote_path}", corrId=corr_id, flowId=FLOW),
        )
    assert credits(rig, peer) >= 600 - 64  # a grant waits for a quarter of the window


def test_a_stream_cannot_be_asked_for_by_the_name_of_a_flow_that_is_in_use() -> None:
    rig = Rig()
    agent, client = rig.child("a", ours=True), rig.child("c", ours=True)
    rig.bind(agent, MATH)
    rig.feed(client, make_request(f"__rpc__x@{client.remote_path}", corrId="c0", id="e0"))
    rig.feed(agent, make_envelope(ANSWER, id="x0", to=f"__rpc__x@{client.remote_path}", corrId="c0", flowId=FLOW))
    rig.said(client), rig.said(agent)
    rig.feed(client, make_request(f"__rpc__x@{client.remote_path}", corrId=FLOW, id="e1", rtype=4))
    assert [message["frame"]["code"] for message in rig.said(client)] == ["DUPLICATE_CALL"]  # type: ignore[index]
    assert rig.said(agent) == []


def test_a_stream_cannot_be_asked_for_by_the_name_of_our_own_flow() -> None:
    rig = Rig()
    client = rig.child("c", ours=True)
    rig.core.bind(MATH)
    flow = rig.core.state.flow_id
    rig.feed(client, make_request(f"__rpc__x@{client.remote_path}", corrId=flow, id="e1", rtype=4))
    assert [message["frame"]["code"] for message in rig.said(client)] == ["DUPLICATE_CALL"]  # type: ignore[index]
    assert rig.requests() == []


@pytest.mark.parametrize("silence", ["1" + "0" * 400, "-1" + "0" * 400, "0", "-5"])
def test_an_absurd_silence_ends_nothing(silence: str) -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "c")
    attach = attach_of("c", LinkKind.CHILD, ours=True)
    attach["meta"] |= {"fame.silence": "SILENCE"}  # type: ignore[operator]
    rig.feed(link, json.dumps(attach).replace('"SILENCE"', silence).encode())
    assert rig.core.state.sessions[link].is_open
