"""The gates among real cores: what is honest passes over any number of hops, and what isn't stops where it began."""

import json
from dataclasses import replace

import pytest
from core_rig import STAMP
from mesh_rig import PARENT, PEER
from msgspec import Raw
from secure_rig import SecureRig, tampering

from fame_cli.core.effects import CloseLink, LinkRefused, Note, Send
from fame_cli.core.envelope import Envelope, data_frame, encode, raw_list
from fame_cli.core.frames import Data, KeyAnnounce, MeshDelta, MeshRecord, MeshUpdate
from fame_cli.core.grant import AGENT, CLIENT, Grant
from fame_cli.core.grant import PEER as PEER_ROLE
from fame_cli.core.ids import sid_of, time_digits
from fame_cli.core.keysharing import tell_key
from fame_cli.core.link import LinkKind
from fame_cli.core.state import send

MATH = "math1@fame.fabric"


def three(profile: str = "overlay", *bare: str) -> SecureRig:
    """Make a chain of three sentinels, an agent at its end and a client at its beginning."""
    rig = SecureRig("s1", "s2", "s3", profile=profile, bare=bare)
    rig.chain("s1", "s2", "s3")
    rig.leaf("math", "s3", MATH)
    rig.leaf("client", "s1")
    rig.run()
    return rig


def call(rig: SecureRig) -> tuple[str, str, str]:
    """Call the agent; returns how the call ended: kind, code, signer."""
    key = rig.call("client", MATH)
    if rig["math"].requests():
        rig.answer("math")
    outcome = rig.outcomes("client", key)[-1]
    return outcome.kind, outcome.code, outcome.signer


@pytest.mark.parametrize("profile", ["gated", "overlay"])
def test_an_honest_call_passes_three_sentinels(profile: str) -> None:
    assert call(three(profile))[0] == "result"


def test_the_caller_learns_who_signed_the_answer_and_the_agent_who_asked() -> None:
    rig = three()
    signer = call(rig)[2]
    assert signer == f"math (key {rig.keys['math'].kid}, proved by us)"
    assert rig["math"].requests()[0].signer == f"client (key {rig.keys['client'].kid}, proved by us)"


def test_a_key_that_nobody_proves_is_told_from_hop_to_hop() -> None:
    rig = three("overlay", "client")
    assert call(rig)[0] == "result"
    told = rig["math"].requests()[0].signer
    assert told == f"/s1/client (key {rig.keys['client'].kid}, told by s3)"


def test_keys_go_ahead_so_that_nobody_has_to_ask() -> None:
    rig = three()
    rig.forget()
    call(rig)
    assert "KeyAnnounce" in {passed.kind for passed in rig.passed}
    assert "KeyRequest" not in {passed.kind for passed in rig.passed}


def test_a_key_that_has_come_and_is_elsewhere_is_not_asked_for_again() -> None:
    """Two honest nodes would else ask and tell each other for ever, because of one envelope."""
    rig = three()
    said = [json.loads(effect.data) for effect in rig["s2"].log if isinstance(effect, Send)]
    signed = next(each for each in said if each["frame"]["type"] == "MeshUpdate")
    rig.forget()
    rig.feed("s2", "s1", signed | {"id": "another", "sid": "2cVx0000000000000000Aa"})
    rig.run()
    asked = [passed.kind for passed in rig.passed if passed.kind in ("KeyRequest", "KeyAnnounce")]
    assert asked == ["KeyRequest", "KeyAnnounce"]
    assert [note.facts["code"] for note in rig["s1"].noted("envelope_denied")] == ["KEY_UNKNOWN"]


def test_a_key_that_got_lost_is_asked_for_and_the_envelope_waits() -> None:
    rig = three()
    lost = []

    def lose_the_first(message: object) -> bool:
        if message.kind == "KeyAnnounce" and message.target == "math" and not lost:  # type: ignore[attr-defined]
            lost.append(message)
            return True
        return False

    rig.lost = lose_the_first
    assert call(rig)[0] == "result"
    assert lost


def test_an_envelope_whose_key_never_comes_is_refused_in_time() -> None:
    rig = three()
    rig.lost = lambda message: message.kind == "KeyAnnounce" and message.target == "math"
    key = rig.call("client", MATH)
    rig.advance(7.0)
    assert [outcome.code for outcome in rig.outcomes("client", key)] == ["KEY_UNKNOWN"]


def test_the_time_a_request_waits_for_its_key_is_taken_off_its_time() -> None:
    rig = three()
    rig.lost = lambda message: message.kind == "KeyAnnounce" and message.target == "math"
    rig.call("client", MATH, timeout_s=20.0)
    rig.advance(3.0)
    assert rig["math"].requests() == []
    rig.lost = lambda message: False
    core = rig["s3"].core
    session = next(session for session in core.sessions() if session.link.remote_id == "math")
    session.told.clear()
    tell_key(core.state, session, rig.keys["client"].kid)
    rig.do(rig["s3"], core.link_drained(session.link))  # with what has just been said
    rig.run()
    [request] = rig["math"].requests()
    assert request.deadline - rig.now == pytest.approx(17.0, abs=0.1)


def test_a_request_that_a_sentinel_between_has_changed_is_refused() -> None:
    rig = three()
    tampering(rig, "s2", "s3", {"params": {"x": 1000}})
    kind, code, _ = call(rig)
    assert (kind, code) == ("nack", "SIGNATURE_INVALID")
    assert rig["math"].requests() == []


def test_an_answer_that_a_sentinel_between_has_changed_ends_the_call_at_once() -> None:
    rig = three()
    tampering(rig, "s1", "client", {"result": 666})
    kind, code, _ = call(rig)
    assert (kind, code) == ("nack", "SIGNATURE_INVALID")


@pytest.mark.parametrize("profile", ["gated", "overlay"])
def test_an_agent_binds_what_its_grant_allows_and_nothing_else(profile: str) -> None:
    rig = SecureRig("s1", profile=profile)
    rig.allow("a", addresses=("math1@fame.fabric",))
    rig.leaf("a", "s1", MATH, "math2@fame.fabric")
    assert [str(way) for way in rig["s1"].core.table.ways(MATH)]
    assert not rig["s1"].core.table.ways("math2@fame.fabric")


@pytest.mark.parametrize("profile", ["gated", "overlay"])
def test_an_agent_that_may_only_answer_can_not_call(profile: str) -> None:
    rig = SecureRig("s1", profile=profile)
    rig.leaf("math", "s1", MATH)
    rig.allow("client", roles=frozenset({AGENT}))
    rig.leaf("client", "s1")
    key = rig.call("client", MATH)
    assert [outcome.code for outcome in rig.outcomes("client", key)] == ["UNAUTHORIZED"]


@pytest.mark.parametrize("profile", ["gated", "overlay"])
def test_who_is_no_peer_can_not_peer(profile: str) -> None:
    rig = SecureRig("s1", profile=profile)
    rig.allow("s2", roles=frozenset({AGENT, CLIENT}))
    rig.add("s2")
    rig.join("s2", "s1", PEER)
    rig.run()
    assert [e.code for e in rig["s2"].log if isinstance(e, LinkRefused)] == ["UNAUTHORIZED"]


@pytest.mark.parametrize("profile", ["gated", "overlay"])
def test_a_credential_for_one_id_does_not_do_for_another(profile: str) -> None:
    rig = SecureRig("s1", profile=profile)
    rig.allow("mallory", node="mallory")
    rig.add("mallory", "math", routes=False)
    rig.join("mallory", "s1", PARENT)
    rig.run()
    assert [e.code for e in rig["mallory"].log if isinstance(e, LinkRefused)] == ["UNAUTHORIZED"]


@pytest.mark.parametrize("profile", ["gated", "overlay"])
def test_a_taken_address_stays_with_its_owner(profile: str) -> None:
    rig = three(profile)
    rig.leaf("thief", "s3", MATH)
    assert call(rig)[0] == "result"
    assert rig["thief"].requests() == []


def test_a_live_id_is_not_for_another_key() -> None:
    rig = SecureRig("s1", bare=("math", "thief"))
    rig.leaf("math", "s1", MATH)
    rig.allow("thief", node="math")
    rig.add("thief", "math", instance="instance-of-math", routes=False)
    rig.join("thief", "s1", PARENT)
    rig.run()
    assert [e.code for e in rig["thief"].log if isinstance(e, LinkRefused)] == ["ID_TAKEN"]
    assert rig["s1"].core.table.ways(MATH)


def test_a_sentinel_announces_only_what_its_grant_lets_it() -> None:
    rig = SecureRig("s1")
    rig.allow("s2", roles=frozenset({PEER_ROLE}), prefixes=("math*@fame.fabric",))
    rig.add("s2")
    rig.chain("s1", "s2")
    rig.leaf("math", "s2", MATH, "bank@fame.fabric")
    assert rig["s1"].core.table.ways(MATH)
    assert not rig["s1"].core.table.ways("bank@fame.fabric")


def test_a_credential_that_expires_ends_its_link() -> None:
    rig = three()
    link = rig["s1"].link_to("client")
    link.expires_at = rig.now + 20.0
    rig["s1"].core.state.look_at(rig["s1"].core.state.sessions[link], rig.now)
    rig.advance(25.0)
    assert [(e.code, e.reason) for e in rig["s1"].log if isinstance(e, CloseLink)][-1][0] == 4401


def test_a_request_that_comes_again_runs_once() -> None:
    rig = three()
    seen: list[bytes] = []
    receive = rig["s1"].core.receive

    def listen(link: object, data: bytes, now: float) -> object:
        if b'"Data"' in data and rig["s1"].ends[link][0].label == "client":  # type: ignore[index]
            seen.append(data)
        return receive(link, data, now)  # type: ignore[arg-type]

    rig["s1"].core.receive = listen  # type: ignore[method-assign,assignment]
    assert call(rig)[0] == "result"
    rig.feed("client", "s1", seen[0])
    rig.run()
    assert len(rig["math"].requests()) == 1
    denied = [e for e in rig["s1"].log if isinstance(e, Note) and e.event == "envelope_denied"]
    assert [note.facts["code"] for note in denied] == ["REPLAY_DETECTED"]
    rig.advance(400.0)
    rig.feed("client", "s1", seen[0])
    rig.run()
    assert len(rig["math"].requests()) == 1


def say(rig: SecureRig, source: str, target: str, *records: MeshRecord) -> None:
    """Have a sentinel tell another one records, under its own good signature."""
    state = rig[source].core.state
    send(state, state.sessions[rig[source].link_to(target)], MeshUpdate(records=list(records)))
    effects, state.effects = state.effects, []
    rig.do(rig[source], effects)
    rig.run()


def test_a_life_of_another_sentinel_can_not_be_made_up() -> None:
    rig = SecureRig("s1", "s2", "s3").chain("s1", "s2", "s3")
    say(rig, "s2", "s1", MeshRecord("s3", "x", 9, kid=rig.keys["s2"].kid, sig="AAAA"))
    say(rig, "s2", "s1", MeshRecord("s3", "x", 9, kid=rig.keys["s3"].kid, sig="AAAA"))
    say(rig, "s2", "s1", MeshRecord("s3", "x", 9))
    say(rig, "s2", "s1", MeshRecord("s1", "x", 9, kid=rig.keys["s2"].kid, sig="AAAA"))
    assert rig["s1"].record("s3").incarnation == 1
    assert rig["s1"].mesh.own.incarnation == 1
    assert len(rig["s1"].noted("record_refused")) == 3


def test_an_offer_can_not_be_added_to_the_record_of_another_sentinel() -> None:
    rig = SecureRig("s1", "s2", "s3").chain("s1", "s2", "s3")
    record = rig["s2"].record("s3")
    version = record.offers.version
    added = MeshDelta(version, version + 1, put={MATH: 1}, sig=record.offers.signature)
    say(rig, "s2", "s1", MeshRecord("s3", record.instance, 1, offers=added, kid=record.kid, sig=record.signature))
    assert not rig["s1"].core.table.ways(MATH)
    assert rig["s1"].record("s3").offers.version == version
    assert rig["s1"].noted("record_refused")


def test_signed_records_spread_in_pieces_around_a_ring_and_to_late_comers() -> None:
    rig = SecureRig("s1", "s2", "s3", "s4").ring("s1", "s2", "s3", "s4")
    rig.bind("s1", *(f"a{number}@very-long-name-of-a-host-{number}.fame.fabric" for number in range(2000)))
    rig.run()
    rig.add("late")
    rig.join("late", "s3")
    rig.run()
    assert rig.agree()
    assert len(rig["late"].record("s1").offers) == 2001
    rig.unbind("s1", *(f"a{number}@very-long-name-of-a-host-{number}.fame.fabric" for number in range(1900)))
    rig.run()
    assert rig.agree()
    assert len(rig["late"].record("s1").offers) == 101
    assert not [note for node in rig.nodes.values() for note in node.noted("record_refused")]


def test_a_sentinel_that_comes_back_with_the_same_key_is_believed_at_once() -> None:
    rig = SecureRig("s1", "s2", "s3").chain("s1", "s2", "s3")
    rig.crash("s3")
    rig.run()
    rig.add("s3", instance="another", incarnation=2)
    rig.join("s3", "s2")
    rig.bind("s3", MATH)
    rig.run()
    assert rig["s1"].record("s3").life == (2, "another")
    assert rig["s1"].core.table.ways(MATH)


@pytest.mark.parametrize("profile", ["gated", "overlay"])
@pytest.mark.parametrize("reply_to", [MATH, "__rpc__x@/s1/other", "__rpc__x@/s3/math"])
def test_an_answer_goes_to_who_asked_and_nowhere_else(profile: str, reply_to: str) -> None:
    rig = SecureRig("s1", profile=profile)
    rig.leaf("math", "s1", MATH)
    rig.allow("client", addresses=("client@fame.fabric",))
    rig.leaf("client", "s1")
    rig.run()
    request = Envelope(
        frame=Data(payload=Raw(b'{"jsonrpc":"2.0","id":"c","method":"add"}')),
        id=rig.fresh_id(),
        sid=sid_of("/s1/client"),
        to=MATH,
        reply_to=reply_to,
        corr_id="c",
        rtype=2,
        ts=STAMP,
    )
    rig.feed("client", "s1", encode(rig.gates["client"].sign(request)))
    rig.run()
    assert rig["math"].requests() == []
    denied = [e for e in rig["s1"].log if isinstance(e, Note) and e.event == "envelope_denied"]
    assert [note.facts["code"] for note in denied] == ["UNAUTHORIZED"]


@pytest.mark.parametrize("profile", ["gated", "overlay", "strict-overlay"])
def test_sentinels_that_have_a_parent_and_peer_with_each_other_believe_each_other(profile: str) -> None:
    rig = SecureRig("head", "west", "east", profile=profile)
    rig.join("west", "head", PARENT)
    rig.join("east", "west", PEER)  # under another path than the one it takes now
    rig.run()
    rig.join("east", "head", PARENT)
    rig.run()
    rig.leaf("math", "east", MATH)
    rig.leaf("client", "west")
    seal_to = ""
    if profile == "strict-overlay":
        keys = raw_list(rig["east"].core.state.gate.keys_at("/head/east/math"))
        announce = KeyAnnounce(physical_path="/head/east/math", keys=keys)
        rig["client"].core.state.gate.learn(announce, rig["client"].link_to("west"))
        seal_to = "/head/east/math"
    key = rig.call("client", MATH, seal_to=seal_to)
    rig.answer("math")
    assert [outcome.kind for outcome in rig.outcomes("client", key)] == ["result"]
    assert rig.agree()
    assert not [note.facts for node in rig.nodes.values() for note in node.noted("envelope_denied")]


def test_an_answer_whose_key_never_comes_ends_its_call() -> None:
    rig = three()
    rig.lost = lambda message: message.kind == "KeyAnnounce" and message.target == "client"
    key = rig.call("client", MATH)
    rig.answer("math")
    rig.advance(7.0)
    assert [outcome.code for outcome in rig.outcomes("client", key)] == ["KEY_UNKNOWN"]


def test_a_sentinel_between_can_not_answer_in_the_agents_place() -> None:
    rig = three()
    key = rig.call("client", MATH)
    state = rig["s2"].core.state
    payload = data_frame(b'{"jsonrpc":"2.0","id":"x","result":666}')
    send(state, state.sessions[rig["s2"].link_to("s1")], payload, to=key[0], corr_id=key[1])
    effects, state.effects = state.effects, []
    rig.do(rig["s2"], effects)
    rig.run()
    assert [(outcome.kind, outcome.code) for outcome in rig.outcomes("client", key)] == [("nack", "SIGNATURE_INVALID")]


def test_an_agent_answers_for_what_its_grant_names_and_for_the_pools_it_is_in() -> None:
    grant = Grant("a", roles=frozenset({AGENT}), addresses=("math1@fame.fabric", "desk@*.fame.fabric"))
    told = ("math1@fame.fabric", "", "desk@east.fame.fabric", "desk@fame.fabric", "desk@a.b.fame.fabric")
    assert all(grant.may_answer(address) for address in told)
    assert not any(grant.may_answer(address) for address in ("math2@fame.fabric", "other@east.fame.fabric"))
    assert not Grant("s", roles=frozenset({PEER_ROLE}), addresses=("**",)).may_answer("math1@fame.fabric")


def test_a_clock_that_is_off_is_told() -> None:
    rig = three()
    rig["client"].core.state.new_id = lambda: f"{time_digits(int((rig.clock - 300) * 1000))}{next(rig._serial):09}"
    key = rig.call("client", MATH)
    assert [outcome.code for outcome in rig.outcomes("client", key)] == ["CLOCK_SKEW"]


def test_a_clock_that_is_off_where_a_call_ends_is_logged_as_that() -> None:
    rig = three()
    seen: list[bytes] = []
    receive = rig["math"].core.receive

    def hold(link: object, data: bytes, now: float) -> object:
        if b'"Data"' in data:
            seen.append(data)
            return []
        return receive(link, data, now)  # type: ignore[arg-type]

    rig["math"].core.receive = hold  # type: ignore[method-assign,assignment]
    rig.call("client", MATH)
    rig["math"].core.receive = receive  # type: ignore[method-assign]
    rig.advance(400.0)
    rig.feed("s3", "math", seen[0])
    rig.run()
    assert not rig["math"].requests()
    assert [note.facts["code"] for note in rig["math"].noted("envelope_denied")] == ["CLOCK_SKEW"]


# Whose id it is


def refused(rig: SecureRig, label: str) -> list[str]:
    """Return the codes with which a node's links were refused."""
    return [effect.code for effect in rig[label].log if isinstance(effect, LinkRefused)]


def impostor(rig: SecureRig, node_id: str, label: str = "mallory") -> None:
    """Add a sentinel under the id and the (public) instance of another one, whose own credential allows any id."""
    rig.allow(label, node="*", roles=frozenset({PEER_ROLE}), prefixes=("**",))
    rig.add(label, node_id, instance=f"instance-of-{node_id}", incarnation=7)


@pytest.mark.parametrize("profile", ["gated", "overlay", "strict-overlay"])
@pytest.mark.parametrize("kind", [PEER, PARENT])
@pytest.mark.parametrize("first", [PEER, PARENT])
def test_the_id_of_a_sentinel_is_its_own_by_whatever_link_another_comes(
    profile: str, kind: LinkKind, first: LinkKind
) -> None:
    rig = SecureRig("s1", "s2", profile=profile)
    rig.join("s2", "s1", first)
    rig.run()
    impostor(rig, "s2")
    rig.join("mallory", "s1", kind)
    rig.run()
    assert refused(rig, "mallory") == ["ID_TAKEN"]
    assert rig["s1"].mesh.links["s2"] is rig["s1"].link_to("s2")


@pytest.mark.parametrize("profile", ["gated", "overlay"])
@pytest.mark.parametrize("kind", [PEER, PARENT])
@pytest.mark.parametrize("name", ["s0", "s2"])
def test_nor_is_the_id_of_a_sentinel_that_we_dialled_for_who_knows_its_instance(
    profile: str, kind: LinkKind, name: str
) -> None:
    rig = SecureRig("s1", name, profile=profile).chain("s1", name)
    before = rig["s1"].link_to(name)
    impostor(rig, name)
    rig.join("mallory", "s1", kind, cost=9)
    rig.run()
    assert refused(rig, "mallory") in (["DUPLICATE_LINK"], ["ID_TAKEN"])
    assert rig["s1"].mesh.links[name] is before
    assert before.cost == 1


def test_a_sentinel_that_we_dial_is_not_another_one_by_its_instance_alone() -> None:
    rig = SecureRig("s1", "s2").chain("s2", "s1")
    before = rig["s1"].link_to("s2")
    impostor(rig, "s2")
    for kind in (PEER, PARENT):
        rig.join("s1", "mallory", kind)
        rig.run()
    assert refused(rig, "s1") == ["NAMESAKE", "NAMESAKE"]
    assert rig["s1"].mesh.links["s2"] is before


def test_keys_that_somebody_shows_and_does_not_hold_make_no_sentinel_of_him() -> None:
    """A credential that is bound to no key proves none: the keys beside it are public."""
    rig = SecureRig("s1", "s2").chain("s2", "s1")
    before = rig["s1"].link_to("s2")
    impostor(rig, "s2")
    rig.grants["mallory"] = replace(rig.grants["mallory"], thumbprint="")
    rig["mallory"].core.state.gate.keys = rig.gates["s2"].keys
    rig.join("mallory", "s1")
    rig.run()
    assert refused(rig, "mallory") == ["ID_TAKEN"]
    assert rig["s1"].mesh.links["s2"] is before


@pytest.mark.parametrize("profile", ["overlay", "strict-overlay"])
@pytest.mark.parametrize("kind", [PEER, PARENT])
def test_the_id_of_a_sentinel_further_away_is_its_own_too(profile: str, kind: LinkKind) -> None:
    rig = SecureRig("s1", "s2", "s3", profile=profile).chain("s1", "s2", "s3")
    impostor(rig, "s3")
    rig.join("mallory", "s1", kind)
    rig.run()
    assert refused(rig, "mallory") == ["ID_TAKEN"]
    assert rig["s1"].record("s3").incarnation == 1
    assert rig["s3"].mesh.own.incarnation == 1


def test_a_sentinel_can_not_speak_as_another_that_is_there_though_its_credential_allows_any_id() -> None:
    rig = SecureRig("s1", "s2", "s3").chain("s1", "s2", "s3")
    impostor(rig, "s3")
    rig.add("front")
    rig.chain("mallory", "front")  # where nobody knows the true one
    rig.join("front", "s1")
    rig.run()
    assert rig["s1"].record("s3").instance == "instance-of-s3"
    assert rig["s1"].record("s3").kid == rig["s2"].record("s3").kid == rig.keys["s3"].kid


def test_an_id_whose_sentinel_is_gone_is_free_for_another_key() -> None:
    rig = SecureRig("s1", "s2", "s3", "s4").chain("s1", "s2", "s3")
    rig.join("s4", "s1")
    rig.crash("s3")
    rig.run()
    impostor(rig, "s3", "new")
    rig.join("new", "s2")
    rig.run()
    assert refused(rig, "new") == []
    assert rig["s4"].record("s3").kid == rig.keys["new"].kid
    assert rig.agree()


@pytest.mark.parametrize("profile", ["gated", "overlay", "strict-overlay"])
def test_a_sentinel_may_be_peer_and_child_and_its_newer_link_takes_the_place_of_the_older(profile: str) -> None:
    rig = SecureRig("s1", "s2", profile=profile)
    for kind in (PEER, PARENT, PEER):
        rig.join("s2", "s1", kind)
        rig.run()
    assert refused(rig, "s2") == []
    assert set(rig["s1"].core.table.children) == set(rig["s1"].core.table.peers) == {"s2"}


@pytest.mark.parametrize("profile", ["gated", "overlay", "strict-overlay"])
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("order", [("s1", "s2"), ("s2", "s1")])
def test_two_sentinels_that_dial_each_other_end_with_one_link(
    profile: str, at_once: bool, order: tuple[str, str]
) -> None:
    rig = SecureRig("s1", "s2", profile=profile)
    rig.join(*order)
    if not at_once:
        rig.run()
    rig.join(*reversed(order))
    rig.run()
    rig.advance(5.0)
    assert len(rig["s1"].ends) == len(rig["s2"].ends) == 1
    assert rig.reach("s1") == {"s2"}
    assert rig.reach("s2") == {"s1"}


def test_a_record_signed_with_another_key_does_not_take_the_place_of_one_within_reach() -> None:
    rig = SecureRig("s1", "s2", "s3", "evil").chain("s1", "s2", "s3")
    rig.join("evil", "s1")
    rig.run()
    impostor(rig, "s3")
    gate, link = rig.gates["mallory"], rig["s1"].link_to("evil")
    gate.moved("/s3")
    announce = KeyAnnounce(physical_path="/s3", keys=raw_list(gate.keys_at("/s3")))
    assert rig["s1"].core.state.gate.learn(announce, link) is None
    kid, signature = gate.sign_record(b"fame-life\x1fs3\x1finstance-of-mallory\x1f9")
    say(rig, "evil", "s1", MeshRecord("s3", "instance-of-mallory", 9, kid=kid, sig=signature))
    assert rig["s1"].record("s3").instance == "instance-of-s3"
    assert len(rig["s1"].noted("record_refused")) == 1
    rig.cut("s2", "s3")
    rig.run()
    say(rig, "evil", "s1", MeshRecord("s3", "instance-of-mallory", 9, kid=kid, sig=signature))
    assert rig["s1"].record("s3").instance == "instance-of-mallory"
