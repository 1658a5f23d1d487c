"""Dead letters that are tried again: back in the box they were in, as new ones, in one change of the disk."""

import msgspec
import pytest
from core_rig import Json, Rig, make_envelope

from fame_cli.core.custody import Delivery
from fame_cli.core.effects import Bury, Dispatch, Forget, Move, Request
from fame_cli.core.gate import Refusal
from fame_cli.core.message import DEAD, IN, OUT, Message, place_of, row_of

MATH = "math1@fame.fabric"
AWAY = "away@fame.fabric"


class Keeper(Rig):
    """Be an agent with a link to a sentinel that is nothing but JSON; its handler fails for good at the first try."""

    def __init__(self) -> None:
        super().__init__("a", routes=False, delivery=Delivery(max_attempts=1, max_messages=3, max_age_s=60.0))
        self.up = self.parent("s1", path="/s1/a", ours=True)
        self.do(self.core.bind(MATH))

    def come(self, seq: int) -> None:
        """Have a message come and be kept."""
        frame: Json = {"type": "Data", "payload": seq}
        meta = {"fame.lane": "c/1", "fame.seq": seq, "fame.prev": seq - 1}
        to: Json = {"to": MATH, "replyTo": "__sys__@/s1/c", "rtype": 1, "corrId": f"m{seq}", "meta": meta}
        self.feed(self.up, make_envelope(frame, id=f"e{seq}", **to))
        self.do(self.core.kept(IN, f"m{seq}", self.now))

    def failed(self) -> Message:
        """Have a handler fail, and return the dead letter."""
        self.do(self.core.unhandled(self.requests()[-1].message, "ValueError", self.now))
        return self.buried()

    def given_up(self) -> Message:
        """Send a message that is refused for good, and return the dead letter."""
        message, effects = self.core.send(AWAY, b"1", self.now)
        assert isinstance(message, Message)
        self.do(effects)
        self.do(self.core.kept(OUT, message.id, self.now))
        frame: Json = {"type": "DeliveryAck", "ok": False, "code": "UNAUTHORIZED", "reason": "no"}
        self.feed(self.up, make_envelope(frame, to="__sys__@/s1/a", corrId=message.id))
        return self.buried()

    def buried(self) -> Message:
        return [effect.message for effect in self.log if isinstance(effect, Bury)][-1]

    def requests(self) -> list[Request]:
        return [effect.request for effect in self.log if isinstance(effect, Dispatch)]

    def retry(self, dead: Message) -> Message | Refusal:
        """Retry a dead letter; it isn't on the disk yet."""
        refusal, effects = self.core.retry(dead, self.now)
        self.do(effects)
        if refusal is not None:
            assert effects == []
            return refusal
        [move] = effects
        assert isinstance(move, Move)
        assert move.source == DEAD
        return move.message

    def out(self) -> list[Json]:
        return [each for each in self.said(self.up) if "fame.lane" in (each.get("meta") or {})]  # type: ignore[operator]


def test_one_that_was_sent_is_sent_again_at_a_new_place_in_its_lane() -> None:
    rig = Keeper()
    rig.now = 5.0
    dead = rig.given_up()
    rig.out()
    rig.now = 10.0
    message = rig.retry(dead)
    assert isinstance(message, Message)
    assert (message.box, message.id, message.seq, message.attempts) == (OUT, dead.id, dead.seq + 1, 0)
    assert (message.reason, message.origin) == ("", "")
    assert (message.stored_at, message.expires_at) == (dead.stored_at, 70.0)
    assert rig.out() == []
    rig.do(rig.core.moved(message.id, rig.now))
    [sent] = rig.out()
    assert (sent["corrId"], sent["frame"]["payload"]) == (dead.id, 1)  # type: ignore[index]


def test_one_whose_handler_failed_is_handled_again_as_if_for_the_first_time() -> None:
    rig = Keeper()
    rig.come(1)
    dead = rig.failed()
    assert (dead.origin, dead.attempts) == (IN, 1)
    message = rig.retry(dead)
    assert isinstance(message, Message)
    assert (message.box, message.lane, message.seq, message.attempts) == (IN, dead.lane, dead.seq, 0)
    assert len(rig.requests()) == 1
    rig.do(rig.core.moved(message.id, rig.now))
    assert [request.message for request in rig.requests()] == ["m1", "m1"]
    assert rig.do(rig.core.handled("m1", rig.now)) == [Forget(IN, "m1")]
    assert rig.core.messages() == []


def test_it_comes_behind_what_has_come_since_from_its_sender() -> None:
    rig = Keeper()
    rig.come(1)
    dead = rig.failed()
    rig.come(2)
    rig.come(3)
    rig.retry(dead)
    rig.do(rig.core.moved("m1", rig.now))
    for name in ("m2", "m3", "m1"):
        assert rig.requests()[-1].message == name
        rig.do(rig.core.handled(name, rig.now))


@pytest.mark.parametrize("sent", [True, False])
def test_one_that_can_not_be_moved_stays_dead_and_may_be_retried(sent: bool) -> None:
    rig = Keeper()
    if sent:
        dead = rig.given_up()
    else:
        rig.come(1)
        dead = rig.failed()
    before = len(rig.requests())
    rig.retry(dead)
    rig.do(rig.core.unmoved(dead.id, "the disk is full", rig.now))
    assert rig.core.messages() == []
    assert len(rig.requests()) == before
    assert isinstance(rig.retry(dead), Message)


@pytest.mark.parametrize("sent", [True, False])
def test_none_is_retried_twice_at_a_time(sent: bool) -> None:
    rig = Keeper()
    if sent:
        dead = rig.given_up()
    else:
        rig.come(1)
        dead = rig.failed()
    rig.retry(dead)
    again = rig.retry(dead)
    assert isinstance(again, Refusal)
    assert again.code == "ID_TAKEN"
    rig.do(rig.core.moved(dead.id, rig.now))
    assert isinstance(rig.retry(dead), Refusal)


def test_none_is_retried_where_there_is_no_room() -> None:
    rig = Keeper()
    dead = rig.given_up()
    for _ in range(3):
        rig.do(rig.core.send(AWAY, b"1", rig.now)[1])
    assert rig.retry(dead) == Refusal("QUEUE_FULL", "3 messages wait to be delivered")
    rig.come(1)
    handled = rig.failed()
    for seq in (2, 3, 4):
        rig.come(seq)
    assert rig.retry(handled) == Refusal("QUEUE_FULL", "3 messages wait here to be handled")


def test_what_is_retried_and_waits_can_be_dropped() -> None:
    rig = Keeper()
    rig.come(1)
    dead = rig.failed()
    rig.come(2)
    rig.retry(dead)
    assert rig.core.drop(IN, "m1", rig.now) == (False, [])  # it isn't there yet
    rig.do(rig.core.moved("m1", rig.now))
    assert rig.core.drop(IN, "m1", rig.now) == (True, [Forget(IN, "m1")])
    assert [each.id for each in rig.core.messages()] == ["m2"]


def test_a_row_tells_all_but_the_payload() -> None:
    message = Message(id="m", box=OUT, address=MATH, payload=b"12", mailbox=True, attempts=2)
    row = row_of(message, 2)
    assert row["bytes"] == 2
    assert set(row) == {*Message.__struct_fields__, "bytes"} - {"payload"}
    assert (row["id"], row["attempts"], row["mailbox"]) == ("m", 2, True)
    assert place_of(message) == "mailbox"
    assert place_of(msgspec.structs.replace(message, box=DEAD)) == DEAD
