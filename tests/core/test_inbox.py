"""Messages that come in: kept before they are acknowledged, taken once, handled in order, tried again, or dead."""

import pytest
from core_rig import Json, Rig, make_envelope, types
from hypothesis import given
from hypothesis import strategies as st

from fame_cli.core.custody import Delivery, Mailbox
from fame_cli.core.effects import Bury, Dispatch, Effect, Forget, Keep, Move, Request
from fame_cli.core.link import Link
from fame_cli.core.message import DEAD, IN, OUT, Message

MATH = "math1@fame.fabric"
SENDER = "__sys__@/s1/c"


class Agent(Rig):
    """Be an agent with a link to a sentinel that is nothing but JSON."""

    def __init__(self, **how: object) -> None:
        super().__init__("a", routes=False, delivery=Delivery(**how))  # type: ignore[arg-type]  # tests only
        self.up = self.parent("s1", path="/s1/a", ours=True)
        self.do(self.core.bind(MATH))
        self.said(self.up)

    def come(self, seq: int = 0, prev: int = 0, *, lane: str = "c/1", **fields: object) -> list[Effect]:
        """Have a message arrive; without a number it is one of a sender that numbers nothing."""
        return self.feed(self.up, message(seq, prev, lane=lane, **fields))

    def keep(self, *effects: Effect) -> None:
        """Have what is to be kept be on the disk."""
        for effect in effects:
            if isinstance(effect, Keep):
                self.do(self.core.kept(effect.message.box, effect.message.id, self.now))

    def take(self, seq: int = 0, prev: int = 0, *, lane: str = "c/1", **fields: object) -> list[Json]:
        """Have a message arrive and be kept, and return what was answered."""
        self.keep(*self.come(seq, prev, lane=lane, **fields))
        return self.said(self.up)

    def recover(self, kept: list[Message], lanes: dict[str, int], seen: list[str]) -> None:
        """Take up what an earlier life has kept; the disk writes at once."""
        self.keep(*self.do(self.core.recover(kept, lanes, seen, self.now)))

    def handling(self) -> list[str]:
        """Return the payloads that have been given to the handler so far."""
        return [bytes(request.params).decode() for request in self.requests()]

    def requests(self) -> list[Request]:
        return [effect.request for effect in self.log if isinstance(effect, Dispatch)]

    def handled(self, number: int = -1) -> list[Effect]:
        return self.do(self.core.handled(self.requests()[number].message, self.now))

    def failed(self, reason: str = "ValueError: no", **how: object) -> list[Effect]:
        last = self.requests()[-1].message
        return self.do(self.core.unhandled(last, reason, self.now, **how))  # type: ignore[arg-type]  # tests only


def message(seq: int, prev: int = 0, *, lane: str = "c/1", **fields: object) -> Json:
    numbered: Json = {"meta": {"fame.lane": lane, "fame.seq": seq, "fame.prev": prev}} if seq else {}
    told: Json = {"id": f"e{seq}", "to": MATH, "replyTo": SENDER, "rtype": 1, "corrId": f"m{seq}", **numbered, **fields}
    frame = told.pop("frame", {"type": "Data", "payload": told.pop("payload", seq)})
    return make_envelope(frame, **told)  # type: ignore[arg-type]  # a frame is an object


def codes(answers: list[Json]) -> list[object]:
    """Return what each acknowledgement says: True, or a code."""
    acks = [each["frame"] for each in answers if each["frame"]["type"] == "DeliveryAck"]  # type: ignore[index]
    return [ack["ok"] or ack["code"] for ack in acks]


def test_a_message_is_acknowledged_and_handled_once_it_is_on_the_disk() -> None:
    rig = Agent()
    effects = rig.come(1, payload={"x": 1})
    [keep] = [effect for effect in effects if isinstance(effect, Keep)]
    assert (keep.message.box, keep.message.lane, keep.message.seq) == (IN, "c/1", 1)
    assert (keep.message.address, keep.message.sender, keep.message.payload) == (MATH, "/s1/c", b'{"x": 1}')
    assert codes(rig.said(rig.up)) == []
    assert rig.requests() == []
    rig.keep(keep)
    [ack] = rig.said(rig.up)
    assert (ack["to"], ack["corrId"], ack["frame"]["refId"]) == (SENDER, "m1", "e1")  # type: ignore[index]
    [request] = rig.requests()
    assert (request.key, request.method, bytes(request.params)) == (None, "", b'{"x": 1}')
    assert rig.handled() == [Forget(IN, keep.message.id)]
    assert rig.core.messages() == []


def test_a_message_that_is_an_operation_is_run_as_one() -> None:
    rig = Agent()
    rig.take(1, payload={"jsonrpc": "2.0", "id": "q", "method": "add", "params": {"kwargs": {"x": 1}}})
    [request] = rig.requests()
    assert (request.key, request.method, bytes(request.params)) == (None, "add", b'{"kwargs": {"x": 1}}')


def test_a_message_that_came_before_is_acknowledged_again_and_nothing_else() -> None:
    rig = Agent()
    rig.take(1)
    assert codes(rig.take(1)) == [True]
    rig.handled()
    assert codes(rig.take(1)) == [True]
    assert len(rig.requests()) == 1


def test_a_message_that_comes_again_on_its_way_to_the_disk_is_acknowledged_where_it_came_last() -> None:
    rig = Agent()
    first = rig.come(1)
    assert codes(rig.said(rig.up)) == []
    rig.come(1, replyTo="__sys__@/s1/elsewhere")
    assert codes(rig.said(rig.up)) == []
    rig.keep(*first)
    [ack] = rig.said(rig.up)
    assert ack["to"] == "__sys__@/s1/elsewhere"
    assert len(rig.requests()) == 1


def test_what_comes_before_the_one_in_front_of_it_is_sent_back() -> None:
    rig = Agent()
    rig.take(1)
    assert codes(rig.take(3, 2)) == ["OUT_OF_ORDER"]
    assert codes(rig.take(2, 1)) == [True]
    assert codes(rig.take(3, 2)) == [True]


def test_a_gap_that_the_sender_knows_of_stops_nobody() -> None:
    rig = Agent()
    rig.take(1)
    assert codes(rig.take(7, 0)) == [True]
    assert codes(rig.take(9, 7)) == [True]


def test_a_message_that_could_not_be_kept_is_refused_with_all_behind_it_and_taken_when_it_comes_again() -> None:
    rig = Agent()
    rig.take(1)
    second, third = rig.come(2, 1), rig.come(3, 2)
    for effect in (*second, *third):
        if isinstance(effect, Keep):
            rig.do(rig.core.unkept(IN, effect.message.id, "the disk is full", rig.now))
    assert codes(rig.said(rig.up)) == ["STORE_FULL", "STORE_FULL"]
    assert codes(rig.take(3, 2)) == ["OUT_OF_ORDER"]
    assert codes(rig.take(2, 1)) == [True]
    assert codes(rig.take(3, 2)) == [True]


def test_messages_of_one_sender_are_handled_one_after_the_other_and_of_several_side_by_side() -> None:
    rig = Agent()
    rig.take(1, payload="a1")
    rig.take(2, 1, payload="a2")
    rig.take(1, lane="d/1", payload="b1")
    assert rig.handling() == ['"a1"', '"b1"']
    rig.handled(0)
    assert rig.handling() == ['"a1"', '"b1"', '"a2"']


def test_a_sender_that_begins_again_waits_for_what_it_sent_before() -> None:
    rig = Agent()
    rig.take(1, lane="c/1", payload="old")
    rig.take(1, lane="c/2", payload="new")
    assert rig.handling() == ['"old"']
    rig.handled()
    assert rig.handling() == ['"old"', '"new"']


def test_no_more_messages_are_handled_at_a_time_than_may_be() -> None:
    rig = Agent()
    for number in range(100):
        rig.take(1, lane=f"c{number}/1")
    assert len(rig.requests()) == 64
    rig.handled()
    assert len(rig.requests()) == 65


def test_a_handler_that_fails_gets_the_message_again_later_and_later_and_in_order() -> None:
    rig = Agent()
    rig.take(1)
    rig.take(2, 1)
    for tries, pause_s in ((1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0)):
        assert len(rig.requests()) == tries
        rig.failed()
        rig.advance(pause_s - 0.1)
        assert len(rig.requests()) == tries
        rig.advance(0.2)
    rig.handled()
    assert rig.handling() == ["1"] * 5 + ["2"]


def test_a_message_whose_handler_fails_too_often_is_a_dead_letter() -> None:
    rig = Agent()
    rig.take(1)
    rig.take(2, 1)
    for _ in range(5):
        effects = rig.failed()
        rig.advance(5.0)
    [bury] = [effect for effect in effects if isinstance(effect, Bury)]
    assert (bury.message.box, bury.message.origin, bury.message.attempts) == (DEAD, IN, 5)
    assert bury.message.reason == "ValueError: no"
    assert rig.handling()[-1] == "2"


def test_a_failure_that_no_second_try_mends_is_the_last() -> None:
    rig = Agent()
    rig.take(1)
    assert [effect for effect in rig.failed(tries=1) if isinstance(effect, Bury)]


def test_the_settings_say_how_often_a_message_is_tried() -> None:
    rig = Agent(max_attempts=2)
    rig.take(1)
    rig.failed()
    rig.advance(1.0)
    assert [effect for effect in rig.failed() if isinstance(effect, Bury)]


def test_a_handler_that_has_not_begun_has_not_failed() -> None:
    rig = Agent(max_attempts=1)
    rig.take(1)
    for _ in range(20):
        rig.failed("busy", counts=False)
        rig.advance(0.6)
    assert rig.handling() == ["1"] * 21


def test_what_an_earlier_life_has_kept_is_handled_and_known() -> None:
    kept = [Message(id="m5", box=IN, address=MATH, payload=b"5", lane="c/1", seq=5, sender="/s1/c")]
    rig = Agent()
    rig.recover(kept, {"c/1": 5, "d/1": 2}, ["~e9"])
    assert rig.handling() == ["5"]
    assert codes(rig.take(5, 4)) == [True]
    assert codes(rig.take(2, lane="d/1")) == [True]
    assert codes(rig.take(id="e9")) == [True]
    assert codes(rig.take(6, 5)) == [True]
    assert len(rig.requests()) == 1


def test_a_process_that_ends_with_a_message_counts_and_that_is_on_the_disk_before_it_is_handled_again() -> None:
    kept = [Message(id=f"m{n}", box=IN, address=MATH, payload=b"%d" % n, lane="c/1", seq=n) for n in (1, 2)]
    rig = Agent()
    [keep] = [e for e in rig.do(rig.core.recover(kept, {"c/1": 2}, [], rig.now)) if isinstance(e, Keep)]
    assert (keep.message.id, keep.message.attempts) == ("m1", 1)
    assert rig.requests() == []
    rig.keep(keep)
    assert rig.handling() == ["1"]
    rig.handled()
    assert rig.handling() == ["1", "2"]  # which nobody has begun before


def test_a_message_with_which_ten_processes_have_ended_is_a_dead_letter_and_those_behind_it_go_on() -> None:
    kept = [Message(id=f"m{n}", box=IN, address=MATH, payload=b"%d" % n, lane="c/1", seq=n) for n in (1, 2)]
    for life in range(10):
        rig = Agent()
        rig.recover(kept, {"c/1": 2}, [])
        assert rig.handling() == ["1"]
        kept[0] = next(each for each in rig.core.messages() if each.id == "m1")
        assert kept[0].attempts == life + 1
    rig = Agent()
    rig.recover(kept, {"c/1": 2}, [])
    assert rig.handling() == ["2"]
    [bury] = [effect for effect in rig.log if isinstance(effect, Bury)]
    assert bury.message.reason == "10 processes ended while they handled it"


def test_where_the_count_cannot_be_written_the_message_waits() -> None:
    rig = Agent()
    kept = [Message(id="m1", box=IN, address=MATH, payload=b"1", lane="c/1", seq=1)]
    rig.do(rig.core.recover(kept, {"c/1": 1}, [], rig.now))
    rig.do(rig.core.unkept(IN, "m1", "the disk is full", rig.now))
    assert rig.requests() == []
    [again] = [effect for effect in rig.advance(1.0) if isinstance(effect, Keep)]
    rig.keep(again)
    assert rig.handling() == ["1"]
    assert codes(rig.take(1)) == [True]


def test_a_failure_is_written_down() -> None:
    rig = Agent()
    rig.take(1)
    [keep] = [effect for effect in rig.failed() if isinstance(effect, Keep)]
    assert keep.message.attempts == 1
    rig.do(rig.core.unkept(IN, keep.message.id, "the disk is full", rig.now))  # which is no reason to let it go
    rig.advance(1.0)
    assert rig.handling() == ["1", "1"]


def test_a_message_without_a_number_that_is_called_like_another_takes_nobodys_place() -> None:
    rig = Agent()
    rig.take(1, corrId="m1", payload="honest")
    assert codes(rig.take(id="m1", payload="stranger", replyTo="__sys__@/s1/x")) == [True]
    assert sorted(rig.handling()) == ['"honest"', '"stranger"']
    rig.handled(0)
    rig.handled(1)
    assert rig.core.messages() == []


def test_a_message_may_be_called_like_the_lane_of_another() -> None:
    rig = Agent()
    rig.take(1, lane="d/1", corrId="c/1")
    rig.take(1, lane="c/1", payload="honest")
    assert rig.handling() == ["1", '"honest"']


def test_a_name_of_a_dead_letter_is_nobody_elses() -> None:
    rig = Agent()
    rig.take(1, corrId="m1")
    rig.failed(tries=1)
    rig.take(2, 1, corrId="m1")
    assert [each.id for each in rig.core.messages()] != ["m1"]


@pytest.mark.parametrize("name", ["x" * 129, "x" * 100_000])
def test_ids_of_any_length_are_told_apart_in_bounded_memory(name: str) -> None:
    rig = Agent()
    assert codes(rig.take(id=name)) == [True]
    assert codes(rig.take(id=name)) == [True]
    assert codes(rig.take(id=f"{name}y")) == [True]
    assert len(rig.core.messages()) == 2
    assert max(map(len, rig.core.state.inbox.taken)) <= 129


def test_lanes_of_a_sender_with_a_long_name_are_told_apart() -> None:
    rig = Rig("n" * 128, routes=False)
    lanes = set()
    for number in range(9):
        own, _ = rig.core.send(f"math{number}@fame.fabric", b"1", 0.0)
        assert isinstance(own, Message)
        assert len(own.lane) <= 100
        lanes.add(own.lane)
    assert len(lanes) == 9


def test_a_sender_that_numbers_nothing_is_told_by_its_envelopes() -> None:
    rig = Agent()
    assert codes(rig.take(id="n1", payload="x")) == [True]
    assert codes(rig.take(id="n1", payload="x")) == [True]
    assert codes(rig.take(id="n2", payload="y")) == [True]
    assert rig.handling() == ['"x"']
    rig.handled()
    assert rig.handling() == ['"x"', '"y"']


def test_what_is_full_refuses_and_takes_the_same_message_later() -> None:
    rig = Agent(max_messages=1)
    rig.take(1)
    assert codes(rig.take(2, 1)) == ["QUEUE_FULL"]
    rig.handled()
    assert codes(rig.take(2, 1)) == [True]


def test_a_node_that_winds_down_takes_no_message_and_handles_those_it_has() -> None:
    rig = Agent()
    rig.take(1)
    rig.take(2, 1)
    rig.do(rig.core.wind_down(rig.now))
    assert codes(rig.take(3, 2)) == ["NODE_DRAINING"]
    assert not rig.core.is_idle(rig.now + 60)
    rig.handled()
    rig.handled()
    assert rig.core.is_idle(rig.now + 60)


def test_a_message_may_be_dropped_while_it_is_not_being_handled() -> None:
    rig = Agent()
    rig.take(1)
    rig.take(2, 1)
    first, second = (each.id for each in rig.core.messages())
    assert rig.core.drop(IN, first, rig.now) == (False, [])
    assert rig.core.drop(IN, second, rig.now) == (True, [Forget(IN, second)])
    rig.handled()
    assert rig.handling() == ["1"]


def test_two_senders_may_call_their_messages_the_same() -> None:
    rig = Agent()
    rig.take(1, lane="c/1", corrId="m")
    rig.take(1, lane="d/1", corrId="m")
    names = [each.id for each in rig.core.messages()]
    assert names[0] == "m"
    assert len(set(names)) == 2


@pytest.mark.parametrize("fields", [{"rtype": 3}, {"rtype": 5}, {"rtype": 2}, {"to": "__sys__@/s1/a"}])
def test_calls_and_what_is_for_the_node_itself_are_not_kept(fields: Json) -> None:
    rig = Agent()
    assert not [effect for effect in rig.come(1, **fields) if isinstance(effect, Keep)]


numbers = st.one_of(
    st.integers(-2, 9), st.integers(), st.none(), st.floats(), st.text(max_size=3), st.lists(st.none(), max_size=1)
)


@given(st.lists(st.tuples(numbers, numbers, st.one_of(st.none(), st.text(max_size=4), st.integers())), max_size=12))
def test_whatever_is_said_in_place_of_numbers_the_node_goes_on(said: list[tuple[object, object, object]]) -> None:
    rig = Agent()
    for number, (seq, prev, lane) in enumerate(said):
        rig.take(meta={"fame.seq": seq, "fame.prev": prev, "fame.lane": lane}, id=f"x{number}")
    assert codes(rig.take(1, lane="mine")) == [True]


# Mailboxes


class Sentinel(Rig):
    """Be a sentinel that keeps messages for `MATH`, with a sender attached."""

    def __init__(self, **bounds: int) -> None:
        super().__init__("s1", mailboxes={MATH: Mailbox(MATH, **bounds)})
        self.do(self.core.advertise(f"mail:{MATH}", MATH))
        self.sender = self.child("c", ours=True)

    def give(self, seq: int, prev: int = 0, *, lane: str = "c/1", **fields: object) -> list[object]:
        """Have a message arrive, let the disk do what it is asked for, and return what was answered."""
        self.write(self.feed(self.sender, message(seq, prev, lane=lane, **fields)))
        return codes(self.said(self.sender))

    def write(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Keep):
                self.write(self.do(self.core.kept(effect.message.box, effect.message.id, self.now)))
            elif isinstance(effect, Move):
                assert effect.source == IN
                self.write(self.do(self.core.moved(effect.message.id, self.now)))

    def agent(self) -> Link:
        link = self.child("a", ours=True)
        self.bind(link, MATH)
        self.write(self.advance(0.1))
        return link


def test_a_sentinel_keeps_what_is_for_somebody_who_is_away_and_sends_it_on_when_he_comes() -> None:
    rig = Sentinel()
    assert [rig.give(number, number - 1) for number in (1, 2, 3)] == [[True]] * 3
    assert [(each.box, each.mailbox, each.sender) for each in rig.core.messages()] == [(OUT, True, "/s1/c")] * 3
    agent = rig.agent()
    sent = [each for each in rig.said(agent) if types([each]) == ["Data"]]
    assert [each["frame"]["payload"] for each in sent] == [1, 2, 3]  # type: ignore[index]
    assert [each["replyTo"] for each in sent] == ["__sys__@/s1"] * 3
    assert {each["meta"]["fame.sender"] for each in sent} == {"/s1/c"}  # type: ignore[index]
    for each in sent:
        ack: Json = {"type": "DeliveryAck", "ok": True, "refId": each["id"]}
        rig.feed(agent, make_envelope(ack, to="__sys__@/s1", corrId=each["corrId"]))
    assert rig.core.messages() == []


def test_a_mailbox_is_passed_by_while_somebody_serves_its_address() -> None:
    rig = Sentinel()
    agent = rig.agent()
    assert rig.give(1) == []
    [sent] = [each for each in rig.said(agent) if types([each]) == ["Data"]]
    assert sent["replyTo"] == SENDER
    assert rig.core.messages() == []


def test_a_mailbox_takes_messages_and_no_calls() -> None:
    rig = Sentinel()
    assert rig.give(1, rtype=2) == ["NO_ROUTE"]
    assert rig.give(1, rtype=3) == ["NO_ROUTE"]


def test_a_mailbox_holds_as_much_as_it_may() -> None:
    rig = Sentinel(max_messages=2)
    assert [rig.give(number, number - 1) for number in (1, 2, 3)] == [[True], [True], ["QUEUE_FULL"]]
    small = Sentinel(max_bytes=5)
    assert small.give(1, payload="abcdef") == ["QUEUE_FULL"]


def test_a_message_without_a_payload_is_null_and_can_be_sent_on() -> None:
    rig = Sentinel()
    rig.write(rig.feed(rig.sender, message(1, frame={"type": "Data"})))
    agent = rig.agent()
    [sent] = [each for each in rig.said(agent) if types([each]) == ["Data"]]
    assert sent["frame"] == {"type": "Data", "payload": None}


def test_what_comes_out_of_a_mailbox_goes_into_no_other() -> None:
    rig = Sentinel()
    other = rig.peer("s9", ours=True)
    meta: Json = {"fame.lane": "s9/1", "fame.seq": 1, "fame.prev": 0, "fame.sender": "/s9/c"}
    rig.write(rig.feed(other, message(1, meta=meta, replyTo="__sys__@/s9")))
    assert codes(rig.said(other)) == ["NO_ROUTE"]


def test_a_leaf_that_says_a_message_is_out_of_a_mailbox_is_not_believed() -> None:
    rig = Sentinel()
    meta: Json = {"fame.lane": "c/1", "fame.seq": 1, "fame.prev": 0, "fame.sender": "/s9/admin"}
    assert rig.give(1, meta=meta) == [True]
    assert [each.sender for each in rig.core.messages()] == ["/s1/c"]


def test_a_leaf_can_not_use_up_the_numbers_of_another() -> None:
    rig = Sentinel()
    assert rig.give(1, lane="d/1") == [True]
    assert rig.give(2**40, lane="d/1") == [True]
    assert rig.core.state.inbox.taken.keys() == {"~e1", f"~e{2**40}"}
    assert rig.give(1, lane="c/1") == [True]
    assert rig.core.state.inbox.taken["c/1"] == 1


def test_a_message_that_cannot_be_moved_stays_where_it_was_and_is_moved_later() -> None:
    rig = Sentinel()
    [keep] = [effect for effect in rig.feed(rig.sender, message(1)) if isinstance(effect, Keep)]
    [move] = [e for e in rig.do(rig.core.kept(IN, keep.message.id, rig.now)) if isinstance(e, Move)]
    rig.do(rig.core.unmoved(move.message.id, "the disk is full", rig.now))
    assert [each.box for each in rig.core.messages()] == [IN]
    [again] = [effect for effect in rig.advance(1.0) if isinstance(effect, Move)]
    rig.do(rig.core.moved(again.message.id, rig.now))
    assert [each.box for each in rig.core.messages()] == [OUT]


def test_what_a_sentinel_sends_to_an_address_it_keeps_mail_for_goes_into_the_mailbox() -> None:
    rig = Sentinel()
    own, effects = rig.core.send(MATH, b"1", rig.now)
    assert isinstance(own, Message)
    rig.write(rig.do(effects))
    assert [(each.box, each.mailbox) for each in rig.core.messages()] == [(OUT, True)]
