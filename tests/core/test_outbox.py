"""Messages on their way out: kept first, numbered, sent again until somebody else answers for them, or given up."""

import json

import pytest
from core_rig import Json, Rig, frames, make_envelope, types

from fame_cli.core.custody import Delivery
from fame_cli.core.effects import Bury, Delivered, Effect, Forget, Keep, Note
from fame_cli.core.envelope import Envelope
from fame_cli.core.gate import Gate, Refusal
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.message import DEAD, OUT, Message
from fame_cli.errors import RemoteProtocolError

MATH = "math1@fame.fabric"


class Sender(Rig):
    """Be a client with a link to a sentinel that is nothing but JSON."""

    def __init__(self, **how: object) -> None:
        super().__init__("c", routes=False, delivery=Delivery(at_least_once=True, **how))  # type: ignore[arg-type]
        self.up = self.attach()

    def attach(self) -> Link:
        return self.parent("s1", path="/s1/c", ours=True)

    def put(self, payload: bytes = b"1", to: str = MATH) -> Message:
        """Answer for a message; it isn't on the disk yet."""
        message, effects = self.core.send(to, payload, self.now)
        self.do(effects)
        assert isinstance(message, Message)
        return message

    def send(self, payload: bytes = b"1", to: str = MATH) -> Message:
        message = self.put(payload, to)
        self.do(self.core.kept(OUT, message.id, self.now))
        return message

    def out(self) -> list[Json]:
        """Return the messages that have been sent since one last looked."""
        return [each for each in self.said(self.up) if "fame.lane" in (each.get("meta") or {})]  # type: ignore[operator]

    def acknowledge(self, message: Message, envelope_id: str = "") -> list[Effect]:
        """Say that a message has come, in its first envelope unless told otherwise."""
        frame: Json = {"type": "DeliveryAck", "ok": True, "refId": envelope_id or message.id}
        return self.feed(self.up, make_envelope(frame, to="__sys__@/s1/c", corrId=message.id))

    def refuse(self, message: Message, code: str) -> list[Effect]:
        frame: Json = {"type": "DeliveryAck", "ok": False, "code": code, "reason": "no", "refId": message.id}
        return self.feed(self.up, make_envelope(frame, to="__sys__@/s1/c", corrId=message.id))


def of(kind: type, effects: list[Effect]) -> list[Effect]:
    return [effect for effect in effects if isinstance(effect, kind)]


def places(envelopes: list[Json]) -> list[tuple[object, object]]:
    """Return number and predecessor of each."""
    return [(each["meta"]["fame.seq"], each["meta"]["fame.prev"]) for each in envelopes]  # type: ignore[index]


def test_a_message_leaves_once_it_is_on_the_disk() -> None:
    rig = Sender()
    message = rig.put(b'{"x":1}')
    assert rig.log[-1] == Keep(message)
    assert rig.out() == []
    rig.do(rig.core.kept(OUT, message.id, rig.now))
    [sent] = rig.out()
    assert sent["to"] == MATH
    assert sent["rtype"] == 1
    assert sent["replyTo"] == "__sys__@/s1/c"
    assert sent["corrId"] == sent["id"] == message.id
    assert sent["frame"] == {"type": "Data", "payload": {"x": 1}}
    assert sent["meta"] == {"fame.lane": message.lane, "fame.seq": 1, "fame.prev": 0}


def test_a_message_that_could_not_be_kept_is_nobodys() -> None:
    rig = Sender()
    message = rig.put()
    effects = rig.do(rig.core.unkept(OUT, message.id, "the disk is full", rig.now))
    assert effects == [Delivered(message.id, "STORE_FULL", "the disk is full")]
    assert rig.core.messages() == []
    assert rig.out() == []


def test_an_acknowledged_message_is_kept_no_longer_and_its_sender_is_told() -> None:
    rig = Sender()
    message = rig.send()
    effects = rig.acknowledge(message)
    assert of(Forget, effects) == [Forget(OUT, message.id)]
    assert of(Delivered, effects) == [Delivered(message.id, "", "")]
    assert rig.core.messages() == []
    assert of(Delivered, rig.acknowledge(message)) == []


def test_messages_to_an_address_are_numbered_and_each_names_the_unsettled_one_before_it() -> None:
    rig = Sender()
    first, *_ = [rig.send() for _ in range(3)]
    other = rig.send(to="math2@fame.fabric")
    sent = rig.out()
    assert places(sent) == [(1, 0), (2, 1), (3, 2), (1, 0)]
    assert {each["meta"]["fame.lane"] for each in sent} == {first.lane, other.lane}  # type: ignore[index]
    assert first.lane.startswith("c/")


def test_at_most_a_window_of_messages_is_under_way() -> None:
    rig = Sender()
    messages = [rig.send() for _ in range(100)]
    assert len(rig.out()) == 64
    rig.acknowledge(messages[0])
    assert places(rig.out()) == [(65, 64)]


def test_without_an_acknowledgement_the_oldest_message_goes_again_alone_and_the_others_when_it_arrives_then() -> None:
    rig = Sender(ack_timeout_s=5.0)
    messages = [rig.send() for _ in range(3)]
    rig.out()
    rig.acknowledge(messages[1])
    rig.advance(4.9)
    assert rig.out() == []
    rig.advance(0.3)
    [again] = rig.out()
    assert places([again]) == [(1, 0)]
    assert again["corrId"] == messages[0].id
    rig.acknowledge(messages[0], str(again["id"]))
    assert places(rig.out()) == [(3, 0)]


def test_a_receiver_that_is_slow_gets_nothing_twice_but_what_it_was_too_slow_for_before() -> None:
    """As a Naylence agent is, which acknowledges each message when it is done with the one before."""
    rig = Sender(ack_timeout_s=1.0)
    messages = [rig.send() for _ in range(100)]
    for message in messages:
        rig.acknowledge(message)
        rig.advance(2.5)
    once = [(n, n - 1) for n in range(1, 101)]
    assert sorted(places(rig.out())) == sorted([*once, (2, 0), (3, 0)])
    assert rig.core.messages() == []


def test_a_lane_that_waits_long_for_a_slow_receiver_does_so_no_longer_once_that_is_quick() -> None:
    rig = Sender(ack_timeout_s=1.0)
    slow = rig.send()
    rig.advance(3.5)
    rig.acknowledge(slow)
    rig.acknowledge(rig.send())
    rig.out()
    lost = rig.send()
    rig.advance(1.1)
    assert [each["corrId"] for each in rig.out()] == [lost.id, lost.id]


def test_a_lane_that_waits_long_for_a_slow_receiver_does_so_no_longer_once_a_message_was_lost() -> None:
    rig = Sender(ack_timeout_s=1.0)
    late, lost, other = (rig.send() for _ in range(3))
    rig.advance(2.5)
    rig.acknowledge(late)
    rig.out()
    rig.advance(1.9)
    assert rig.out() == []
    rig.advance(0.2)
    [again] = rig.out()
    rig.acknowledge(lost, str(again["id"]))
    assert places(rig.out()) == [(3, 0)]
    rig.advance(1.1)
    assert places(rig.out()) == [(3, 0)]
    assert [each.id for each in rig.core.messages()] == [other.id]


def test_a_lost_acknowledgement_is_missed_however_many_others_come() -> None:
    rig = Sender(ack_timeout_s=5.0)
    lost = rig.send()
    for _ in range(12):
        rig.advance(0.5)
        rig.acknowledge(rig.send())
    assert places(rig.out()).count((1, 0)) == 2
    assert [each.id for each in rig.core.messages()] == [lost.id]


def test_what_is_lost_after_many_failures_is_sent_again_within_four_times_the_wait_for_an_acknowledgement() -> None:
    rig = Sender(ack_timeout_s=5.0)
    other, message = rig.send(to="math2@fame.fabric"), rig.send()
    rig.out()
    for _ in range(8):
        rig.refuse(message, "NO_ROUTE")
        while not rig.out():
            rig.advance(0.1)
    for _ in range(6):
        rig.advance(5.0)
        rig.acknowledge(other)  # the link lives
    rig.advance(0.1)
    assert len(rig.out()) == 1


@pytest.mark.parametrize(
    "code", ["NO_ROUTE", "LINK_LOST", "QUEUE_FULL", "STORE_FULL", "NODE_DRAINING", "PEER_UNREACHABLE"]
)
def test_what_time_mends_is_tried_again_later_and_later(code: str) -> None:
    rig = Sender()
    message = rig.send()
    waits = []
    for _ in range(12):
        rig.out()
        rig.refuse(message, code)
        before = rig.now
        while not (again := rig.out()):
            rig.advance(0.05)
        assert places(again) == [(1, 0)]
        waits.append(rig.now - before)
    assert 0.04 < waits[0] < 0.16
    assert 5.0 <= waits[-1] <= 10.1
    assert rig.core.messages()[0].reason == f"no ({code})"


def test_what_time_does_not_mend_is_a_dead_letter_and_holds_up_nobody() -> None:
    rig = Sender()
    bad, good = rig.send(b"1"), rig.send(b"2")
    rig.out()
    effects = rig.refuse(bad, "UNAUTHORIZED")
    [bury] = of(Bury, effects)
    assert isinstance(bury, Bury)
    assert (bury.message.box, bury.message.origin, bury.message.reason) == (DEAD, OUT, "no (UNAUTHORIZED)")
    assert of(Delivered, effects) == [Delivered(bad.id, "UNAUTHORIZED", "no")]
    assert any(isinstance(effect, Note) and effect.event == "message_dead" for effect in effects)
    assert places(rig.out()) == [(2, 0)]
    rig.acknowledge(good)
    assert rig.core.messages() == []


def test_thousands_of_messages_that_are_refused_at_once_are_taken_one_after_the_other() -> None:
    class Forbidding(Gate):
        rules = True

        def passes(self, link: Link, target: Link, envelope: Envelope) -> Refusal | None:
            return Refusal("UNAUTHORIZED", "not this one")

    rig = Rig("s1")
    rig.core.state.gate = Forbidding()
    for number in range(3000):
        message, effects = rig.core.send(MATH, b"%d" % number, 0.0)
        assert isinstance(message, Message)
        rig.do([*effects, *rig.core.kept(OUT, message.id, 0.0)])
    rig.bind(rig.child("a", ours=True), MATH)
    rig.advance(0.1)
    assert rig.core.messages() == []
    assert len(of(Bury, rig.log)) == 3000


def test_what_somebody_says_when_he_refuses_is_cut() -> None:
    rig = Sender()
    message = rig.send()
    frame: Json = {"type": "DeliveryAck", "ok": False, "code": "X" * 90_000, "reason": "y" * 90_000}
    effects = rig.feed(rig.up, make_envelope(frame, to="__sys__@/s1/c", corrId=message.id))
    [bury] = of(Bury, effects)
    assert isinstance(bury, Bury)
    assert len(bury.message.reason) < 300


def test_a_message_is_tried_as_often_as_it_may_be() -> None:
    rig = Sender(max_attempts=3)
    message = rig.send()
    for _ in range(3):
        rig.refuse(message, "NO_ROUTE")
        rig.advance(5.0)
    assert of(Delivered, rig.log) == [Delivered(message.id, "NO_ROUTE", "no")]


def test_a_message_that_is_too_old_is_given_up() -> None:
    rig = Sender(max_age_s=60.0)
    message = rig.send()
    rig.refuse(message, "NO_ROUTE")
    rig.advance(75.0)
    [told] = of(Delivered, rig.log)
    assert isinstance(told, Delivered)
    assert told.code == "MESSAGE_EXPIRED"
    assert rig.core.messages() == []


def test_while_there_is_no_link_nothing_is_tried_and_with_a_new_one_all_is_sent() -> None:
    rig = Sender()
    messages = [rig.send() for _ in range(3)]
    rig.do(rig.core.link_closed(rig.up))
    rig.advance(120.0)
    assert [each.attempts for each in rig.core.messages()] == [1, 1, 1]
    rig.up = rig.attach()
    rig.advance(0.1)
    assert places(rig.out()) == [(1, 0), (2, 1), (3, 2)]
    for each in messages:
        rig.acknowledge(each)
    assert rig.core.messages() == []


def test_what_an_earlier_life_has_kept_keeps_its_numbers_and_goes_first() -> None:
    before = Sender()
    old = [before.send(b"1"), before.send(b"2")]
    rig = Sender()
    rig.do(rig.core.recover(old, {}, [], rig.now))
    new = rig.send(b"3")
    rig.advance(0.01)
    sent = rig.out()
    assert places(sent) == [(1, 0), (2, 1)]
    assert {each["meta"]["fame.lane"] for each in sent} == {old[0].lane}  # type: ignore[index]
    rig.acknowledge(old[0])
    assert rig.out() == []
    rig.acknowledge(old[1])
    [sent_now] = rig.out()
    assert places([sent_now]) == [(1, 0)]
    assert new.lane != old[0].lane
    assert new.lane.split("/")[0] == old[0].lane.split("/")[0]


def test_what_somebody_put_back_gets_a_number() -> None:
    rig = Sender()
    put_back = Message(id="m", box=OUT, address=MATH, payload=b"1")
    effects = rig.do(rig.core.recover([put_back], {}, [], rig.now))
    [keep] = of(Keep, effects)
    assert isinstance(keep, Keep)
    assert keep.message.seq == 1
    assert keep.message.lane


def test_a_node_answers_for_as_much_as_it_may_and_no_more() -> None:
    rig = Sender(max_messages=2, max_bytes=10)
    rig.send(b"1")
    rig.put(b"2")
    refused, _ = rig.core.send(MATH, b"3", 0.0)
    assert isinstance(refused, Refusal)
    assert refused.code == "QUEUE_FULL"
    other = Sender(max_bytes=10)
    refused, _ = other.core.send(MATH, b'"0123456789"', 0.0)
    assert isinstance(refused, Refusal)
    assert refused.code == "QUEUE_FULL"


def test_what_no_envelope_can_hold_is_refused_at_once() -> None:
    refused, _ = Sender().core.send(MATH, b'"%b"' % (b"x" * 262_144), 0.0)
    assert isinstance(refused, Refusal)
    assert refused.code == "MESSAGE_TOO_LARGE"


def test_what_is_not_an_address_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        Sender().core.send("nowhere", b"1", 0.0)


def test_a_dropped_message_is_gone() -> None:
    rig = Sender()
    first, second = rig.send(), rig.send()
    dropped, effects = rig.core.drop(OUT, first.id, rig.now)
    assert dropped
    assert effects == [Forget(OUT, first.id), Delivered(first.id, "MESSAGE_DROPPED", "somebody dropped it")]
    assert rig.core.drop(OUT, first.id, rig.now) == (False, [])
    assert [each.id for each in rig.core.messages()] == [second.id]


@pytest.mark.parametrize(
    "said", [{"ok": True}, {"ok": False}, {"ok": False, "code": None, "reason": None}, {"ok": "yes"}]
)
def test_acknowledgements_of_what_nobody_sent_change_nothing(said: Json) -> None:
    rig = Sender()
    message = rig.send()
    rig.feed(rig.up, make_envelope({"type": "DeliveryAck", **said}, to="__sys__@/s1/c", corrId="somebody's"))
    assert [each.id for each in rig.core.messages()] == [message.id]


def test_a_message_sent_once_wants_nothing_back_and_is_refused_while_there_is_no_link() -> None:
    rig = Sender()
    refusal, effects = rig.core.post(MATH, b"1", rig.now)
    assert refusal is None
    rig.do(effects)
    [sent] = rig.said(rig.up)
    assert types([sent]) == ["Data"]
    assert not {"rtype", "replyTo", "corrId"} & sent.keys()
    rig.do(rig.core.link_closed(rig.up))
    refusal, _ = rig.core.post(MATH, b"1", rig.now)
    assert refusal is not None
    assert refusal.code == "LINK_LOST"


def test_a_sentinel_sends_over_another_link_as_soon_as_there_is_a_way() -> None:
    rig = Rig("s1", delivery=Delivery(at_least_once=True))
    message, effects = rig.core.send(MATH, b"1", 0.0)
    assert isinstance(message, Message)
    rig.do([*effects, *rig.core.kept(OUT, message.id, 0.0)])
    rig.advance(3.0)
    agent = rig.child("a", ours=True)
    rig.bind(agent, MATH)
    rig.advance(0.1)
    assert len(frames(rig.said(agent), "Data")) == 1
    rig.do(rig.core.link_closed(agent))
    rig.advance(1.0)
    again = rig.child("a", ours=True)
    rig.bind(again, MATH)
    rig.advance(0.1)
    assert json.dumps(rig.said(again)).count('"fame.seq": 1') == 1
    assert rig.session(again).link.kind is LinkKind.CHILD
