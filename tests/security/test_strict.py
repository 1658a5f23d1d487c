"""The strict gate among real cores: payloads that nobody between can read, and keys that need certificates."""

import json

import pytest
from mesh_rig import PARENT
from secure_rig import SecureRig

from fame_cli.core.effects import LinkRefused, Outcome
from fame_cli.core.envelope import raw_list
from fame_cli.core.frames import KeyAnnounce
from fame_cli.security.strict import StrictGate

MATH = "math1@fame.fabric"


def three(*uncertified: str) -> SecureRig:
    """Make a chain of three sentinels, an agent at its end and a client at its beginning, who knows the agent's key."""
    rig = SecureRig("s1", "s2", "s3", profile="strict-overlay", uncertified=uncertified)
    rig.chain("s1", "s2", "s3")
    rig.leaf("math", "s3", MATH)
    rig.leaf("client", "s1")
    gate = rig["client"].core.state.gate
    keys = raw_list(rig["s3"].core.state.gate.keys_at("/s3/math"))
    assert gate.learn(KeyAnnounce(physical_path="/s3/math", keys=keys), rig["client"].link_to("s1")) is None
    return rig


def call(rig: SecureRig, seal_to: str = "/s3/math") -> Outcome:
    """Call the agent."""
    key = rig.call("client", MATH, seal_to=seal_to)
    if rig["math"].requests():
        rig.answer("math")
    return rig.outcomes("client", key)[-1]


def test_a_sealed_call_is_answered_and_nobody_between_reads_it() -> None:
    rig = three()
    seen: list[bytes] = []
    for label in ("s1", "s2", "s3"):
        receive = rig[label].core.receive

        def listen(link: object, data: bytes, now: float, receive: object = receive) -> object:
            seen.append(data)
            return receive(link, data, now)  # type: ignore[operator]

        rig[label].core.receive = listen  # type: ignore[method-assign,assignment]
    outcome = call(rig)
    assert (outcome.kind, bytes(outcome.value)) == ("result", b"7")
    payloads = [json.loads(data)["frame"] for data in seen if b'"Data"' in data]
    assert len(payloads) == 6
    assert all(frame["codec"] == "b64" and "add" not in frame["payload"] for frame in payloads)


def test_a_call_in_the_clear_is_refused_by_the_agent() -> None:
    rig = three()
    outcome = call(rig, "")
    assert (outcome.kind, outcome.code) == ("nack", "CRYPTO_LEVEL")
    assert rig["math"].requests() == []


def test_a_call_whose_key_nobody_told_is_not_sent() -> None:
    rig = three()
    rig.forget()
    outcome = call(rig, "/s3/other")
    assert (outcome.kind, outcome.code) == ("nack", "CRYPTO_LEVEL")
    assert not [passed for passed in rig.passed if passed.kind == "Data"]


def test_an_answer_in_the_clear_to_a_sealed_call_is_refused() -> None:
    rig = three()
    key = rig.call("client", MATH, seal_to="/s3/math")
    request = rig["math"].requests()[-1]
    assert request.key is not None
    running = rig["math"].core.state.calls.get(request.key)
    assert running is not None
    running.sealed = False
    rig.answer("math")
    assert [outcome.code for outcome in rig.outcomes("client", key)] == ["CRYPTO_LEVEL"]


def test_a_node_without_a_certificate_gets_nothing_done() -> None:
    rig = SecureRig("s1", profile="strict-overlay", uncertified=("math",))
    rig.leaf("math", "s1", MATH)
    assert not rig["s1"].core.table.ways(MATH)
    denied = {note.facts["code"] for note in rig["s1"].noted("envelope_denied")}
    assert denied == {"CERTIFICATE_REQUIRED"}


def test_a_certificate_of_another_authority_is_none() -> None:
    rig = SecureRig("s1", profile="strict-overlay")
    theirs = SecureRig(profile="strict-overlay")
    theirs.keys = rig.keys
    rig.certify = theirs.certify  # type: ignore[method-assign]
    rig.leaf("math", "s1", MATH)
    assert not rig["s1"].core.table.ways(MATH)


def test_an_encryption_key_exchanged_on_the_way_is_not_taken() -> None:
    rig = three()
    thief = rig.allow("thief")
    gate = rig["client"].core.state.gate
    assert isinstance(gate, StrictGate)
    honest = [json.loads(bytes(jwk)) for jwk in rig["s3"].core.state.gate.keys_at("/s3/math")]
    forged = [honest[0], honest[1] | {"x": rig.keys["thief"].public_jwks()[1]["x"]}]
    announce = KeyAnnounce(physical_path="/s3/math", keys=raw_list([json.dumps(jwk).encode() for jwk in forged]))
    gate.learn(announce, rig["client"].link_to("s1"))
    kept = gate._ring.encryption_at("/s3/math")
    assert kept is not None
    assert kept["x"] == honest[1]["x"]
    assert thief


@pytest.mark.parametrize("profile", ["overlay", "gated"])
def test_a_node_of_a_lower_profile_is_not_let_in(profile: str) -> None:
    rig = SecureRig("s1", profile="strict-overlay")
    rig.profile = profile
    rig.add("math", routes=False)
    rig.join("math", "s1", PARENT)
    rig.run()
    if profile == "gated":
        assert [e.code for e in rig["math"].log if isinstance(e, LinkRefused)] == ["SIGNATURE_REQUIRED"]
    rig.bind("math", MATH)
    rig.run()
    assert not rig["s1"].core.table.ways(MATH)


def test_a_call_is_sealed_for_nobody_who_may_not_have_the_address() -> None:
    """A sentinel that is asked where an address is can't name itself."""
    rig = three()
    gate = rig["client"].core.state.gate
    assert gate.owns("/s3/math", MATH) is None
    refusal = gate.owns("/s1", MATH)
    assert refusal is not None
    assert refusal.code == "SIGNATURE_INVALID"
    assert gate.owns("/nobody", MATH) is not None
