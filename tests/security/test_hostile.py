"""The attacks that the original falls to, and bombs of JSON: none has any effect beyond the link of whoever tries it.

Each runs against a real sentinel with innocent neighbours that call each other all the while (``hostile_rig.py``).
"""

import contextlib
import json
import secrets
import time

import pytest
from hostile_rig import FABRIC, INNOCENTS, MIB, Stage, against
from hostile_wire import Identity, attach, digest62, new_id, request
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = pytest.mark.e2e

VICTIM = f"{INNOCENTS[1]}@{FABRIC}"
SECURED = ("gated", "overlay", "strict-overlay")
SIGNED = ("overlay", "strict-overlay")
ALL = ("open", *SECURED)


def nack(frame: dict[str, object]) -> str:
    """Return the code of a refusal; "" for what isn't one."""
    return str(frame.get("code") or "") if frame.get("ok") is False else ""


# 1, 2: names and ids of others


@against(*ALL)
async def test_a_taken_address_stays_with_its_owner(stage: Stage) -> None:
    async with stage.undisturbed():
        evil = stage.identity(addresses=["**"])
        async with stage.attached(evil) as wire:
            assert nack(await wire.bind(f"{INNOCENTS[0]}@{FABRIC}")) == "ADDRESS_TAKEN"
            await wire.alive()


@against(*SECURED)
async def test_an_address_outside_of_the_grant_is_refused_even_while_it_is_free(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        assert nack(await wire.bind(f"free-{secrets.token_hex(3)}@{FABRIC}")) == "UNAUTHORIZED"
        await wire.alive()


@against(*SECURED)
async def test_a_live_id_is_not_taken_over_with_another_key(stage: Stage) -> None:
    async with stage.undisturbed(), stage.dial(stage.identity("other", pattern="*"), url_id=INNOCENTS[0]) as wire:
        wire.who.node_id = INNOCENTS[0]
        assert nack(await attach(wire, signs=stage.signs)) == "ID_TAKEN"
        assert (await wire.closed())[0] == 1008


@against("open")
async def test_a_live_id_gives_its_namesake_a_path_of_its_own(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity(INNOCENTS[0]), ours=True) as wire:
        assert wire.path.startswith(f"/s1/{INNOCENTS[0]}-")


# 3, 4: digests and signatures


@against(*SIGNED)
async def test_a_signed_envelope_whose_payload_was_changed_is_refused_and_costs_no_link(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        for _ in range(20):
            corr_id = new_id()
            good = wire.envelope(
                request("add", corr_id, x=3, y=4), to=VICTIM, replyTo=wire.inbox, rtype=2, corrId=corr_id
            )
            bad = wire.sign(good)
            bad["frame"]["payload"]["params"]["x"] = 1000
            await wire.send(bad)
            assert nack(await wire.answer_to(bad)) == "SIGNATURE_INVALID"
        await wire.alive()
        assert await stage.reaches(wire)


@against(*SIGNED)
async def test_a_signature_that_does_not_hold_is_refused_and_the_link_lives_on(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        for value in ("AAAA", "", "%%%", "A" * 86, "A" * 100_000):
            corr_id = new_id()
            sent = wire.sign(
                wire.envelope(request("add", corr_id, x=3, y=4), to=VICTIM, replyTo=wire.inbox, rtype=2, corrId=corr_id)
            )
            sent["sec"]["sig"]["val"] = value
            await wire.send(sent)
            assert nack(await wire.answer_to(sent)) == "SIGNATURE_INVALID"
        await wire.alive()


@against(*SIGNED)
async def test_bad_signatures_without_end_end_the_link_and_no_other(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        sent = wire.sign(
            wire.envelope(request("add", "c", x=3, y=4), to=VICTIM, replyTo=wire.inbox, rtype=2, corrId="c")
        )
        sent["sec"]["sig"]["val"] = "A" * 86
        try:
            for _ in range(500):
                await wire.send(sent)
        except ConnectionClosed:
            pass
        assert await wire.closed() == (1008, "too many envelopes were denied")


# 5: keys of others


@against(*SIGNED)
async def test_an_attach_with_the_kid_of_another_does_not_replace_its_key(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as honest:
        evil = stage.identity(bound=False)
        evil.kid = evil.jwk["kid"] = honest.who.kid
        async with stage.dial(evil) as wire:
            ack = await attach(wire, signs=True)
            if ack["ok"]:
                wire.signs = True
                assert nack(await wire.call(VICTIM, "add", x=3, y=4))
        assert await stage.reaches(honest)


@against(*SIGNED)
async def test_an_announced_key_replaces_nobody_elses(stage: Stage) -> None:
    async with (
        stage.undisturbed(),
        stage.attached(stage.identity()) as honest,
        stage.attached(stage.identity()) as evil,
    ):
        for path in (honest.path, "/s1", "/s2", evil.path):
            squatter = Identity(honest.who.node_id)
            squatter.jwk["kid"] = honest.who.kid
            frame = {
                "type": "KeyAnnounce",
                "physicalPath": path,
                "keys": squatter.jwks(),
                "created": "2026-01-01T00:00:00Z",
            }
            await evil.say(frame)
            await evil.send(evil.envelope(frame, sec={"sig": {"kid": "bogus", "val": "AAAA"}}))
        await evil.alive()
        assert await stage.reaches(honest)


# 6: names of others in the header


@against(*SECURED)
async def test_an_answer_is_not_sent_to_somebody_who_did_not_ask(stage: Stage) -> None:
    async with (
        stage.undisturbed(),
        stage.attached(stage.identity()) as victim,
        stage.attached(stage.identity()) as evil,
    ):
        for reply_to in (victim.inbox, f"__sys__@{victim.path}", "__rpc__x@/s1", "__rpc__x@/s2/innocent2", VICTIM):
            corr_id = new_id()
            await evil.say(request("add", corr_id, x=3, y=4), to=VICTIM, replyTo=reply_to, rtype=2, corrId=corr_id)
            found = await evil.hear(lambda each, corr=corr_id: each.get("corrId") == corr)
            assert nack(found["frame"]) == "UNAUTHORIZED"
        await victim.alive()
        assert [
            each for each in victim.heard if each["frame"]["type"] not in ("NodeAttachAck", "NodeHeartbeatAck")
        ] == []


@against(*SECURED)
async def test_the_digest_of_another_sender_is_refused(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        for path in ("/s1", "/s2/innocent2", "/s1/innocent1", "nobody"):
            refused = {"gated": ("UNAUTHORIZED",)}.get(stage.profile, ("SIGNATURE_INVALID", "KEY_UNKNOWN"))
            corr_id = new_id()
            how = {"to": VICTIM, "replyTo": wire.inbox, "rtype": 2, "corrId": corr_id, "sid": digest62(path)}
            sent = await wire.say(request("add", corr_id, x=3, y=4), **how)
            assert nack(await wire.answer_to(sent)) in refused
        await wire.alive()


# 7: the same once more


@against(*SIGNED)
async def test_an_envelope_that_comes_again_is_not_carried_out_again(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity(roles=["agent", "client"])) as server:
        address = f"{server.who.node_id}@{FABRIC}"
        assert not nack(await server.bind(address))
        async with stage.attached(stage.identity()) as wire, stage.attached(stage.identity()) as other:
            corr_id = new_id()
            sent = await wire.say(
                request("add", corr_id, x=3, y=4), to=address, replyTo=wire.inbox, rtype=2, corrId=corr_id
            )
            await server.hear(lambda each: each.get("corrId") == corr_id)
            for again in (wire, other):
                for _ in range(5):
                    await again.send(sent)
                await again.alive()
            with pytest.raises(TimeoutError):
                await server.hear(lambda each: each.get("corrId") == corr_id, within_s=0.5)


@against(*SIGNED)
async def test_an_envelope_of_yesterday_is_too_old(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        for seconds in (-86_400, 86_400):
            old = new_id(time.time() + seconds)
            corr_id = new_id()
            how = {"id": old, "to": VICTIM, "replyTo": wire.inbox, "rtype": 2, "corrId": corr_id}
            await wire.say(request("add", corr_id, x=3, y=4), **how)
            await wire.alive()
            assert [each for each in wire.heard if "payload" in each["frame"]] == []


# 8, 9: peers


@against(*SECURED)
async def test_a_token_that_is_not_for_a_peer_attaches_as_none(stage: Stage) -> None:
    async with stage.undisturbed():
        with pytest.raises((InvalidStatus, AssertionError)) as caught:
            async with stage.attached(stage.identity(), kind="peer"):
                pass
        assert "UNAUTHORIZED" in str(caught.value) or "401" in str(caught.value) or "403" in str(caught.value)
        async with stage.dial(stage.identity()) as wire:
            assert nack(await attach(wire, "peer", signs=stage.signs)) == "INVALID_ATTACH"


@against(*SECURED)
async def test_a_peer_announces_nothing_beyond_its_prefixes(stage: Stage) -> None:
    async with stage.undisturbed():
        evil = stage.identity(roles=["peer"], prefixes=[f"evil*@{FABRIC}"])
        async with stage.attached(evil, kind="peer") as wire:
            name = f"unowned-{secrets.token_hex(3)}@{FABRIC}"
            for address in (f"{INNOCENTS[0]}@{FABRIC}", name):
                frame = {"type": "AddressBind", "address": address, "physicalPath": f"/{evil.node_id}"}
                await wire.say(frame, corrId=new_id(), replyTo=f"__sys__@/{evil.node_id}")
            await wire.alive()
            async with stage.watching() as caller:
                assert nack(await caller.call(name, "add", x=3, y=4)) == "NO_ROUTE"


@against(*ALL)
async def test_a_peer_that_comes_and_goes_leaves_everybody_else_able_to_bind(stage: Stage) -> None:
    async with stage.undisturbed():
        for _ in range(5):
            async with stage.attached(stage.identity(roles=["peer"], prefixes=["**"]), kind="peer") as wire:
                await wire.alive()
        async with stage.attached(stage.identity()) as wire:
            assert not nack(await wire.bind(f"{wire.who.node_id}@{FABRIC}"))


# 10-13: too much


@against(*ALL)
async def test_a_message_above_the_limit_is_answered_and_one_above_the_transports_ends_its_link(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        for size in (300_000, 900_000):
            sent = await wire.say(
                {"type": "Data", "payload": "x" * size}, to=VICTIM, replyTo=wire.inbox, rtype=2, corrId=new_id()
            )
            assert nack(await wire.answer_to(sent)) == "MESSAGE_TOO_LARGE"
        await wire.alive()
        with contextlib.suppress(ConnectionClosed):
            await wire.send(b"x" * 17_000_000)
        assert (await wire.closed())[0] in (1009, 1006)


@against(*SIGNED)
async def test_unknown_keys_without_end_fill_no_memory(stage: Stage) -> None:
    async with stage.undisturbed(grows=12 * MIB):
        evil = stage.identity(roles=["peer"], prefixes=["**"])
        async with stage.attached(evil, kind="peer") as wire:
            try:
                for _ in range(500):
                    ghost = Identity("ghost")
                    body = {"type": "Data", "payload": "x" * 60_000}
                    fields = {"to": VICTIM, "replyTo": "__rpc__x@/ghost", "rtype": 2, "corrId": new_id()}
                    sent = wire.envelope(body, sid=digest62("/ghost"), **fields)
                    await wire.send(wire.sign(sent, key=ghost, path="/ghost"))
            except ConnectionClosed:
                pass


@against(*ALL)
async def test_a_connection_that_never_attaches_is_ended_after_five_seconds(stage: Stage) -> None:
    async with stage.undisturbed(), stage.dial(stage.identity()) as wire:
        for _ in range(3):
            await wire.send(wire.envelope(request("add", "c", x=3, y=4), to=VICTIM, corrId="c", rtype=2))
        code, reason = await wire.closed(within_s=10.0)
        assert (code, "no attach in time" in reason) == (1001, True)


# Bombs of JSON

BOMBS: dict[str, bytes | str] = {
    "50,000 deep": b'{"id":"1","frame":{"type":"Data","payload":' + b"[" * 50_000 + b"]" * 50_000 + b"}}",
    "190 deep": b'{"id":"1","frame":{"type":"Data","payload":' + b"[" * 190 + b"]" * 190 + b"}}",
    "deep where it is parsed": b'{"id":"1","meta":{"a":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}}",
    "deep keys": b'{"id":"1","frame":{"type":"KeyAnnounce","physicalPath":"/x","keys":'
    + b"[" * 90_000
    + b"]" * 90_000
    + b"}}",
    "NaN": b'{"id":"1","frame":{"type":"Data","payload":NaN}}',
    "duplicate keys": b'{"id":"1","to":"a@b","to":"c@d","frame":{"type":"Data","payload":1,"payload":2}}',
    "5000 digits": b'{"id":"1","seqId":' + b"9" * 5000 + b',"frame":{"type":"Data","payload":' + b"9" * 5000 + b"}}",
    "1e999999": b'{"id":"1","ttl":1e999999,"frame":{"type":"Data","payload":1e999999}}',
    "not UTF-8": b'{"id":"1","frame":{"type":"Data","payload":"\xff\xfe"}}',
    "half a surrogate": rb'{"id":"1","to":"\ud800@fame.fabric","frame":{"type":"Data","payload":"\udfff"}}',
    "unknown frame": b'{"id":"1","frame":{"type":"Surprise"}}',
    "100,000 keys": json.dumps({"id": "1", "frame": {"type": "Data"}} | {f"k{n:x}": n for n in range(20_000)}).encode(),
    "a text message": "{}",
    "a text envelope": '{"id":"1","frame":{"type":"NodeHeartbeat"}}',
    "zeros": b"\0" * 100_000,
    "nothing": b"",
    "lines": b"\n" * 60_000,
    "long id": json.dumps({"id": "i" * 200_000, "frame": {"type": "NodeHeartbeat"}, "corrId": "c" * 50_000}).encode(),
}


@pytest.mark.parametrize("name", BOMBS)
@against(*ALL)
async def test_a_bomb_of_json_costs_nobody_anything(stage: Stage, name: str) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        for _ in range(5):
            await wire.send(BOMBS[name])
        await wire.alive()
