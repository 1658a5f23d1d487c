"""Flows have the names their senders choose; a stranger who uses another's name must not stand in its way."""

import json

import pytest
from core_rig import MATH, Rig, attach_of, make_answer, make_envelope, make_request

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


class Crossing:
    """Be a sentinel with two agents and a peer behind which everybody is who asks them."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.peer = self.rig.peer("s2", ours=True)
        self.quick, self.other = self.rig.child("a", ours=True), self.rig.child("b", ours=True)
        self.rig.bind(self.quick, MATH)
        self.rig.bind(self.other, "other@fame.fabric")

    def ask(self, inbox: str, corr_id: str, **fields: object) -> None:
        self.rig.feed(self.peer, make_request(f"{inbox}@/s2/c", corrId=corr_id, id=f"e-{inbox}-{corr_id}", **fields))

    def answer(self, agent: Link, inbox: str, corr_id: str, flow: str) -> None:
        self.rig.feed(agent, make_envelope(ANSWER, to=f"{inbox}@/s2/c", corrId=corr_id, flowId=flow))

    def passed(self, inbox: str) -> int:
        """Return how many answers to an inbox went out since the last look."""
        return [message.get("to") for message in self.rig.said(self.peer)].count(f"{inbox}@/s2/c")


def test_a_stream_named_like_a_flow_that_comes_later_does_not_hold_it_up() -> None:
    crossing = Crossing()
    crossing.ask("__rpc__thief", FLOW, rtype=4)
    for _ in range(300):
        crossing.answer(crossing.quick, "__rpc__thief", FLOW, FLOW)
    assert crossing.passed("__rpc__thief") == 256  # nobody reads them
    crossing.ask("__rpc__x", "c1", to="other@fame.fabric")
    crossing.answer(crossing.other, "__rpc__x", "c1", FLOW)
    assert crossing.passed("__rpc__x") == 1


def test_a_stream_named_like_a_flow_that_is_in_use_does_not_hold_it_up_nor_end_its_credit() -> None:
    crossing = Crossing()
    for number in range(20):
        crossing.ask("__rpc__x", f"c{number}", to="other@fame.fabric")
        crossing.answer(crossing.other, "__rpc__x", f"c{number}", FLOW)
    flow = crossing.rig.session(crossing.peer).flow
    credit = [flow.take(FLOW) for _ in range(236)]
    assert all(credit)
    assert not flow.writable(FLOW)
    crossing.ask("__rpc__thief", FLOW, rtype=4)
    crossing.answer(crossing.quick, "__rpc__thief", FLOW, FLOW)
    crossing.rig.feed(crossing.quick, make_answer("__rpc__thief@/s2/c", FLOW) | {"flowId": FLOW})  # which ends it
    assert not flow.writable(FLOW)


def test_two_streams_of_one_corr_id_keep_their_own_pace() -> None:
    crossing = Crossing()
    for inbox in ("__rpc__thief", "__rpc__x"):
        crossing.ask(inbox, "c1", rtype=4)
    for _ in range(300):
        crossing.answer(crossing.quick, "__rpc__thief", "c1", "c1")
    assert crossing.passed("__rpc__thief") == 256
    crossing.answer(crossing.quick, "__rpc__x", "c1", "c1")
    assert crossing.passed("__rpc__x") == 1


def test_credit_of_a_stream_is_given_and_taken_under_the_names_of_its_call() -> None:
    crossing = Crossing()
    crossing.ask("__rpc__x", "c1", rtype=4)
    for _ in range(300):
        crossing.answer(crossing.quick, "__rpc__x", "c1", "c1")
    assert crossing.passed("__rpc__x") == 256
    grants = [(m["replyTo"], m["corrId"], m["frame"]["flowId"]) for m in crossing.rig.granted(crossing.quick)]  # type: ignore[index]
    assert set(grants) == {("__rpc__x@/s2/c", "c1", "c1")}
    grant = make_envelope({"type": "CreditUpdate", "flowId": "c1", "credits": 64}, flowId="c1")
    crossing.rig.feed(crossing.peer, grant | {"replyTo": "__rpc__y@/s2/c", "corrId": "c1"})  # another's
    assert crossing.passed("__rpc__x") == 0
    crossing.rig.feed(crossing.peer, grant | {"replyTo": "__rpc__x@/s2/c", "corrId": "c1"})
    assert crossing.passed("__rpc__x") == 44


def test_over_a_plain_link_a_stream_cannot_be_asked_for_by_the_name_of_a_flow_that_is_in_use() -> None:
    rig = Rig()
    agent, client = rig.child("a", ours=True), rig.child("c")
    rig.bind(agent, MATH)
    rig.feed(client, make_request(f"__rpc__x@{client.remote_path}", corrId="c0", id="e0"))
    rig.feed(agent, make_envelope(ANSWER, id="x0", to=f"__rpc__x@{client.remote_path}", corrId="c0", flowId=FLOW))
    rig.said(client), rig.said(agent)
    rig.feed(client, make_request(f"__rpc__x@{client.remote_path}", corrId=FLOW, id="e1", rtype=4))
    assert [message["frame"]["code"] for message in rig.said(client)] == ["DUPLICATE_CALL"]  # type: ignore[index]
    assert rig.said(agent) == []


def test_over_a_plain_link_a_stream_cannot_be_asked_for_by_the_name_of_our_own_flow() -> None:
    rig = Rig()
    client = rig.child("c")
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
