"""What an honest Naylence node depends on: the lines of the specification's checklist that concern the core.

One story for each line, told from the side of a plain neighbour, one that offers no extension.
"""

import pytest
from core_rig import Rig, ack_of, attach_of, frames, make_answer, make_envelope, make_request, types

from fame_cli.core.link import LinkKind

MATH = "math1@fame.fabric"
CLIENT = "__rpc__x@/s1/c"


def test_line_2_an_attach_is_acknowledged_with_its_corr_id_and_all_four_fields() -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "a1")
    rig.feed(link, attach_of("a1", LinkKind.CHILD))
    [ack] = rig.said(link)
    [frame] = frames([ack], "NodeAttachAck")
    assert ack["corrId"] == "attach-corr"
    fields = ("targetSystemId", "assignedPath", "targetPhysicalPath", "routingEpoch")
    assert all(isinstance(frame[field], str) and frame[field] for field in fields)


def test_line_2_the_epoch_stays_while_the_link_does() -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "a1")
    rig.feed(link, attach_of("a1", LinkKind.CHILD))
    epochs = [frame["routingEpoch"] for frame in frames(rig.said(link), "NodeAttachAck")]
    for _ in range(3):
        rig.advance(15)
        rig.feed(link, make_envelope({"type": "NodeHeartbeat"}))
        epochs += [frame["routingEpoch"] for frame in frames(rig.said(link), "NodeHeartbeatAck")]
    assert len(epochs) == 4
    assert len(set(epochs)) == 1


def test_line_2_a_child_whose_bindings_were_dropped_gets_another_epoch() -> None:
    rig = Rig()
    epochs = set()
    for _ in range(2):
        link = rig.child("a1")
        rig.bind(link, MATH)
        epochs.add(rig.session(link).epoch)
        rig.do(rig.core.link_closed(link))
        assert rig.core.table.ways(MATH) == ()
    assert len(epochs) == 2


def test_line_3_every_heartbeat_is_answered() -> None:
    rig = Rig()
    for link in (rig.child("a1"), rig.peer("s2")):
        for number in range(40):
            rig.feed(link, make_envelope({"type": "NodeHeartbeat"}, id=f"h{number}", corrId=f"k{number}"))
        acks = [message for message in rig.said(link) if types([message]) == ["NodeHeartbeatAck"]]
        assert [ack["corrId"] for ack in acks] == [f"k{number}" for number in range(40)]


@pytest.mark.parametrize("kind", [LinkKind.PEER, LinkKind.PARENT])
def test_line_3_the_connecting_side_beats_every_15_seconds(kind: LinkKind) -> None:
    rig = Rig()
    link = rig.dialed_peer("s2") if kind is LinkKind.PEER else rig.parent()
    for _ in range(4):
        rig.advance(15)
        rig.feed(link, make_envelope({"type": "NodeHeartbeatAck", "ok": True}))
    assert types(rig.said(link)) == ["NodeHeartbeat"] * 4


def test_line_4_credit_comes_at_least_after_every_24_envelopes_of_a_flow() -> None:
    rig = Rig()
    client = rig.child("c")
    since = 0
    for number in range(200):
        rig.feed(client, make_request(CLIENT, to="nobody@fame.fabric", corrId=f"c{number}", flowId="f9"))
        since += 1
        if rig.granted(client):
            since = 0
        assert since < 24


def test_line_4_a_plain_neighbour_is_sent_32_envelopes_of_a_flow_and_no_more() -> None:
    rig = Rig()
    agent, client = rig.child("a1"), rig.child("c", ours=True)
    rig.bind(agent, MATH)
    for number in range(100):
        rig.feed(client, make_request(CLIENT, corrId=f"c{number}"))
    assert len(rig.said(agent)) == 32
    rig.feed(agent, make_envelope({"type": "CreditUpdate", "flowId": "f1", "credits": 32}))
    assert len(rig.said(agent)) == 32


def test_line_4_a_grant_beyond_the_window_is_taken_as_the_window() -> None:
    rig = Rig()
    agent, client = rig.child("a1"), rig.child("c", ours=True)
    rig.bind(agent, MATH)
    rig.feed(client, make_request(CLIENT, corrId="first"))
    rig.feed(agent, make_envelope({"type": "CreditUpdate", "flowId": "f1", "credits": 10_000}))
    for number in range(100):
        rig.feed(client, make_request(CLIENT, corrId=f"c{number}"))
    assert len(rig.said(agent)) == 33


@pytest.mark.parametrize("rtype", [2, 4])
def test_line_5_a_reply_goes_to_reply_to_with_the_corr_id_and_trace_id_of_the_request(rtype: int) -> None:
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    client = rig.child("c")
    rig.feed(client, make_request(CLIENT, rtype=rtype, traceId="t9", corrId="k9"))
    rig.do(rig.core.reply((CLIENT, "k9"), b"7", 0.0))
    for message in rig.said(client):
        assert (message["to"], message["corrId"], message["traceId"]) == (CLIENT, "k9", "t9")
        assert not {"rtype", "replyTo"} & set(message)


def test_line_5_a_stream_ends_with_neither_result_nor_error() -> None:
    rig = Rig()
    rig.do(rig.core.bind(MATH))
    client = rig.child("c")
    rig.feed(client, make_request(CLIENT, rtype=4))
    rig.do(rig.core.reply_item((CLIENT, "c1"), b"1", 0.0))
    rig.do(rig.core.reply((CLIENT, "c1"), None, 0.0))
    assert [frame["payload"] for frame in frames(rig.said(client), "Data")] == [
        {"jsonrpc": "2.0", "id": "c1", "result": 1},
        {"jsonrpc": "2.0", "id": "c1"},
    ]


@pytest.mark.parametrize("dialed", [False, True])
def test_line_6_a_plain_peer_is_told_no_name_within_a_second_of_its_attach(dialed: bool) -> None:
    rig = Rig()
    rig.bind(rig.child("a1"), MATH)
    rig.now = 5.25
    if dialed:
        peer = rig.open(LinkKind.PEER, dialed=True)
        [attach] = rig.said(peer)
        rig.feed(peer, ack_of(attach, "s2", "/s2", None))
    else:
        peer = rig.peer("s2")
    rig.advance(0.999)
    assert rig.said(peer) == []
    rig.advance(1.1)
    assert types(rig.said(peer)) == ["AddressBind"]


def test_line_6_no_child_is_ever_told_a_name() -> None:
    rig = Rig()
    child = rig.child("c")
    rig.bind(rig.child("a1"), MATH)
    rig.feed(rig.peer("s2"), make_envelope({"type": "AddressBind", "address": "math2@fame.fabric"}))
    rig.advance(10)
    assert rig.said(child) == []


def test_line_6_a_bind_does_not_go_round_in_a_ring_of_peers() -> None:
    rig = Rig()
    west, east = rig.peer("s2"), rig.peer("s3")
    rig.advance(2)
    for _ in range(3):
        rig.feed(west, make_envelope({"type": "AddressBind", "address": MATH}))
        rig.feed(east, make_envelope({"type": "AddressBind", "address": MATH}))
    assert "AddressBind" not in types(rig.said(west) + rig.said(east))


def test_line_7_what_would_stop_a_neighbours_read_loop_is_not_forwarded() -> None:
    rig = Rig()
    peer, agent, client = rig.peer("s2"), rig.child("a1"), rig.child("c")
    for to in ("nobody@/s2", "nobody@/s1/a1"):
        rig.feed(client, make_request(CLIENT, to=to))
        rig.feed(client, make_envelope(to=to))
    rig.feed(agent, make_answer(CLIENT, "ended", result=1))
    assert rig.said(peer) == rig.said(agent) == []
    assert [frame["code"] for frame in frames(rig.said(client), "DeliveryAck")] == ["NO_ROUTE"] * 2


def test_line_7_nothing_a_neighbour_sends_stops_the_reading_of_its_link() -> None:
    rig = Rig()
    client = rig.child("c")
    rig.feed(client, b"text that is no JSON")
    rig.feed(client, attach_of("c", LinkKind.CHILD))
    rig.feed(client, make_request(CLIENT, to="nobody@/s1"))
    rig.feed(client, make_envelope({"type": "NodeHeartbeat"}))
    assert types(rig.said(client)) == ["DeliveryAck", "NodeHeartbeatAck"]


def test_line_9_a_call_in_flight_to_a_lost_child_is_refused() -> None:
    rig = Rig()
    agent, client = rig.child("a1"), rig.child("c")
    rig.bind(agent, MATH)
    rig.feed(client, make_request(CLIENT))
    rig.do(rig.core.link_closed(agent))
    [message] = rig.said(client)
    assert (message["to"], message["corrId"], message["flowFlags"]) == (CLIENT, "c1", 4)
    assert [frame["refId"] for frame in frames([message], "DeliveryAck")] == ["e1"]


def test_line_9_a_capability_nobody_offers_is_refused() -> None:
    rig = Rig()
    client = rig.child("c")
    rig.feed(client, make_request(CLIENT, to=None, capabilities=["a", "b"]))
    assert [frame["code"] for frame in frames(rig.said(client), "DeliveryAck")] == ["NO_ROUTE"]


def test_line_9_a_pool_member_behind_a_peer_is_reached() -> None:
    """The original looks for it among its children and refuses; we can do better."""
    rig = Rig()
    peer, client = rig.peer("s2"), rig.child("c")
    rig.bind(peer, "math@*.fame.fabric")
    rig.feed(client, make_request(CLIENT, to="math@x.fame.fabric"))
    assert types(rig.said(peer)) == ["Data"]


def test_line_9_an_acknowledged_item_is_acknowledged_or_the_real_agent_waits_for_ever() -> None:
    """At-least-once (spec 8.4): each item asks for an acknowledgement at the agent's system inbox."""
    rig = Rig("c", routes=False)
    parent = rig.parent("s1", path="/s1/c")
    key = rig.call(MATH, streaming=True)
    rig.said(parent)
    for number in range(3):
        item = make_answer(*key, result=number) | {"id": f"i{number}", "rtype": 1, "replyTo": "__sys__@/s1/a1"}
        rig.feed(parent, item)
    acks = rig.said(parent)
    assert [(ack["to"], ack["corrId"]) for ack in acks] == [("__sys__@/s1/a1", key[1])] * 3
    assert [frame["refId"] for frame in frames(acks, "DeliveryAck")] == ["i0", "i1", "i2"]
    assert len(rig.items(key)) == 3
