"""Messages that are kept, behind the gates: who may take one, whose numbers count, and what a stranger can't do."""

from dataclasses import replace

import msgspec
import pytest
from core_rig import STAMP
from mesh_rig import Node
from secure_rig import SecureRig, tampering

from fame_cli.core.custody import Delivery, Mailbox
from fame_cli.core.effects import Delivered, Effect, Keep, Move
from fame_cli.core.envelope import Envelope, encode
from fame_cli.core.frames import DeliveryAck
from fame_cli.core.gate import Refusal
from fame_cli.core.grant import PEER
from fame_cli.core.ids import sid_of
from fame_cli.core.message import IN, Message
from fame_cli.core.settings import Settings

MATH = "math1@fame.fabric"


class Post(SecureRig):
    """Be a fabric whose disks write at once, with a mailbox for `MATH` at s2."""

    def make_core(self, label: str, settings: Settings):  # type: ignore[no-untyped-def]  # as in the rig
        boxes = {MATH: Mailbox(MATH)} if label == "s2" else {}
        return super().make_core(label, replace(settings, delivery=Delivery(), mailboxes=boxes))

    def do(self, node: Node, effects: list[Effect]) -> None:
        """Carry out what a core asks for, writing included."""
        super().do(node, effects)
        for effect in effects:
            if isinstance(effect, Keep):
                self.do(node, node.core.kept(effect.message.box, effect.message.id, self.now))
            elif isinstance(effect, Move):
                self.do(node, node.core.moved(effect.message.id, self.now))

    def send(self, label: str, payload: bytes = b"1") -> Message:
        message, effects = self[label].core.send(MATH, payload, self.now)
        assert isinstance(message, Message), message
        self.do(self[label], effects)
        self.run()
        return message

    def told(self, label: str) -> list[tuple[str, str]]:
        """Return what a node was told of its messages: id, code."""
        return [(effect.id, effect.code) for effect in self[label].log if isinstance(effect, Delivered)]

    def payloads(self, label: str) -> list[bytes]:
        return [bytes(request.params) for request in self[label].requests()]


def fabric(profile: str, *bare: str, agent: bool = True) -> Post:
    rig = Post("s1", "s2", "s3", profile=profile, bare=bare)
    rig.chain("s1", "s2", "s3")
    rig.leaf("client", "s1")
    rig.bind("s2", f"mail:{MATH} {MATH}")
    rig.run()
    if agent:
        rig.leaf("math", "s3", MATH)
    return rig


@pytest.mark.parametrize("profile", ["open", "gated", "overlay"])
def test_a_message_is_delivered_over_three_sentinels_and_acknowledged(profile: str) -> None:
    rig = fabric(profile)
    first, second = rig.send("client", b"1"), rig.send("client", b"2")
    assert rig.told("client") == [(first.id, ""), (second.id, "")]
    assert rig.payloads("math") == [b"1"]


@pytest.mark.parametrize("profile", ["open", "gated", "overlay"])
def test_a_mailbox_answers_for_a_message_and_gives_it_to_the_agent(profile: str) -> None:
    rig = fabric(profile, agent=False)
    message = rig.send("client")
    assert rig.told("client") == [(message.id, "")]
    rig.leaf("math", "s3", MATH)
    rig.advance(1.0)
    assert rig.payloads("math") == [b"1"]
    assert rig["math"].requests()[0].sender == "/s1/client"
    assert rig["s2"].core.messages() == []


def test_nodes_whose_keys_nobody_proves_take_part() -> None:
    rig = fabric("overlay", "client", "math")
    message = rig.send("client")
    assert rig.told("client") == [(message.id, "")]
    assert rig.payloads("math") == [b"1"]


def test_a_sealed_profile_keeps_no_messages() -> None:
    rig = fabric("strict-overlay")
    refusal, _ = rig["client"].core.send(MATH, b"1", rig.now)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "CRYPTO_LEVEL"


def test_a_message_in_the_clear_is_not_taken_in_a_sealed_profile() -> None:
    rig = fabric("strict-overlay")
    rig["client"].core.state.gate.seals = False
    rig.send("client")
    assert rig.payloads("math") == []
    assert rig.told("client")[0][1] == "CRYPTO_LEVEL"


def acknowledge(rig: Post, by: str, message: Message, to: str = "client", ok: bool = True) -> None:
    """Have a node say that it has a message, at the neighbour that leads to the sender."""
    core = rig[by].core
    frame = DeliveryAck(ok=ok, ref_id=message.id, code=None if ok else "UNAUTHORIZED")
    address = f"__sys__@{rig[to].core.table.path}"
    said = Envelope(
        version="1.0",
        id=rig.fresh_id(by),
        sid=sid_of(core.table.path),
        to=address,
        corr_id=message.id,
        frame=frame,
        ts=STAMP,
    )
    rig.feed(by, "s1", encode(rig.gates[by].sign(said)))
    rig.run()


def under_way(rig: Post) -> Message:
    """Have a message of the client's be on its way, so that nobody has answered for it."""
    rig.lost = lambda passed: passed.target == "s3" and passed.kind == "Data"
    return rig.send("client")


def test_who_may_not_have_the_address_can_not_say_that_he_has_the_message() -> None:
    rig = fabric("overlay")
    rig.allow("mallory", addresses=("mallory@fame.fabric",))
    rig.leaf("mallory", "s1")
    message = under_way(rig)
    acknowledge(rig, "mallory", message)
    assert rig.told("client") == []
    assert [each.id for each in rig["client"].core.messages()] == [message.id]
    assert rig["client"].noted("envelope_denied")


def test_a_sentinel_that_may_not_announce_the_address_can_not_say_that_it_has_the_message() -> None:
    rig = Post("s1")
    rig.allow("s2", roles=frozenset({PEER}), prefixes=("other@fame.fabric",))
    rig.add("s2")
    rig.add("s3")
    rig.chain("s1", "s2", "s3")
    rig.leaf("client", "s1")
    rig.leaf("math", "s3", MATH)
    message = under_way(rig)
    acknowledge(rig, "s2", message)
    assert rig.told("client") == []
    assert rig["client"].noted("envelope_denied")


def test_a_message_that_a_sentinel_between_has_changed_is_refused_and_sent_again() -> None:
    rig = fabric("overlay")
    mend = rig["s3"].core.receive
    tampering(rig, "s2", "s3", {"amount": 1000})
    message = rig.send("client", b'{"amount":1}')
    assert rig.payloads("math") == []
    assert rig.told("client") == []
    rig["s3"].core.receive = mend  # type: ignore[method-assign]
    rig.advance(1.0)
    assert rig.payloads("math") == [b'{"amount":1}']
    assert rig.told("client") == [(message.id, "")]


def test_a_stranger_can_not_have_a_message_given_up() -> None:
    rig = fabric("overlay")
    rig.allow("mallory", addresses=("mallory@fame.fabric",))
    rig.leaf("mallory", "s1")
    message = under_way(rig)
    acknowledge(rig, "mallory", message, ok=False)
    assert rig.told("client") == []
    assert [each.id for each in rig["client"].core.messages()] == [message.id]


def test_the_numbers_of_a_lane_are_its_signers() -> None:
    rig = fabric("overlay")
    message = rig.send("client", b"1")
    rig.leaf("mallory", "s1")
    box = rig["mallory"].core.state.outbox
    box.name = message.lane.split("/")[0]
    forged, effects = rig["mallory"].core.send(MATH, b"9", rig.now)
    assert isinstance(forged, Message)
    lane = box.lanes[MATH]
    del effects
    ahead = Message(id="x", box="out", address=MATH, payload=b"9", lane=message.lane, seq=1000)
    lane.waiting.append(ahead)
    box.lane_of["x"] = lane
    box.add(lane, ahead)
    rig.do(rig["mallory"], rig["mallory"].core.kept("out", forged.id, rig.now))
    rig.run()
    second = rig.send("client", b"2")
    assert (second.id, "") in rig.told("client")
    held = [each.payload for each in rig["math"].core.messages() if each.box == IN]
    assert b"2" in held


def test_who_says_that_a_message_is_somebody_elses_is_not_believed() -> None:
    rig = fabric("overlay")
    rig.allow("mallory", addresses=("mallory@fame.fabric",))
    rig.leaf("mallory", "s1")
    message, effects = rig["mallory"].core.send(MATH, b"1", rig.now)
    assert isinstance(message, Message)
    box = rig["mallory"].core.state.outbox
    box.unkept[message.id] = msgspec.structs.replace(message, mailbox=True, sender="/s1/admin")
    rig.do(rig["mallory"], effects)
    rig.run()
    assert [request.sender for request in rig["math"].requests()] == ["/s1/mallory"]


@pytest.mark.parametrize("profile", ["gated", "overlay"])
def test_who_may_not_have_an_address_can_keep_no_messages_for_it(profile: str) -> None:
    rig = Post("s1", "s3", profile=profile)
    rig.chain("s1", "s3")
    rig.allow("mallory", addresses=("mallory@fame.fabric",))
    rig.leaf("mallory", "s1", "mallory@fame.fabric")
    rig.leaf("client", "s1")
    for address in ("mallory@fame.fabric", MATH):
        rig.bind("mallory", f"mail:{MATH} {address}")
        rig.run()
    message = rig.send("client")
    assert rig.payloads("mallory") == []
    assert [each.id for each in rig["client"].core.messages()] == [message.id]
