"""Neighbours that speak for others: end their calls, claim their names, lie about the mesh; or that say too much."""

import contextlib
import secrets

import pytest
from hostile_rig import FABRIC, INNOCENTS, MIB, Stage, against, given
from hostile_wire import Identity, Json, Wire, b64, new_id, request
from websockets.exceptions import ConnectionClosed

from fame_cli.core.section import Section

pytestmark = pytest.mark.e2e

VICTIM = f"{INNOCENTS[1]}@{FABRIC}"
ALL = ("open", "gated", "overlay", "strict-overlay")
SECURED = ("gated", "overlay", "strict-overlay")
SIGNED = ("overlay", "strict-overlay")
READABLE = ("open", "gated", "overlay")
"""Where an attacker can make calls without sealing them; whose answers pass is the same in the profile above."""


async def lingering(caller: Wire, seconds: float = 0.8) -> Json:
    """Begin a call that takes a while, and return what was sent once the sentinel has passed it on."""
    corr_id = new_id()
    how = {"to": VICTIM, "replyTo": caller.inbox, "rtype": 2, "corrId": corr_id}
    sent = await caller.say(request("linger", corr_id, s=seconds), **how)
    await caller.alive()
    return sent


def is_late(frame: Json) -> bool:
    """Tell whether it is the true answer of a call that lingered."""
    return bool(frame["type"] == "Data" and frame["payload"].get("result") == "late")


# Calls of others


@against(*READABLE)
async def test_a_forged_refusal_does_not_end_the_call_of_another(stage: Stage) -> None:
    async with (
        stage.undisturbed(),
        stage.attached(stage.identity()) as caller,
        stage.attached(stage.identity()) as evil,
    ):
        sent = await lingering(caller)
        nack = {"type": "DeliveryAck", "ok": False, "code": "NO_ROUTE", "reason": "forged", "refId": sent["id"]}
        for _ in range(3):
            await evil.say(nack, to=sent["replyTo"], corrId=sent["corrId"])
        assert is_late(await caller.answer_to(sent))


@against(*READABLE)
async def test_a_forged_answer_does_not_pass_for_the_true_one(stage: Stage) -> None:
    async with (
        stage.undisturbed(),
        stage.attached(stage.identity()) as caller,
        stage.attached(stage.identity()) as evil,
    ):
        sent = await lingering(caller)
        payload = {"jsonrpc": "2.0", "id": sent["corrId"], "result": "forged"}
        for _ in range(3):
            await evil.say({"type": "Data", "payload": payload}, to=sent["replyTo"], corrId=sent["corrId"])
        assert is_late(await caller.answer_to(sent))


@against(*READABLE)
async def test_a_call_is_cancelled_by_nobody_but_its_caller(stage: Stage) -> None:
    callers, ours = stage.attached(stage.identity()), stage.attached(stage.identity(), ours=True)
    async with stage.undisturbed(), callers as caller, ours as evil:
        sent = await lingering(caller)
        for _ in range(3):
            await evil.say({"type": "CallCancel"}, replyTo=sent["replyTo"], corrId=sent["corrId"])
        assert is_late(await caller.answer_to(sent))


@against(*READABLE)
async def test_the_names_of_a_call_under_way_can_not_be_borrowed(stage: Stage) -> None:
    async with (
        stage.undisturbed(),
        stage.attached(stage.identity()) as caller,
        stage.attached(stage.identity()) as evil,
    ):
        sent = await lingering(caller)
        again = request("add", sent["corrId"], x=3, y=4)
        await evil.say(again, to=VICTIM, replyTo=sent["replyTo"], rtype=2, corrId=sent["corrId"])
        assert is_late(await caller.answer_to(sent))


@against(*ALL)
async def test_an_answer_that_nobody_waits_for_reaches_nobody(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as evil:
        for to in ("__rpc__nobody@/s1/innocent1", "__rpc__nobody@/s2/innocent2", f"__rpc__x@{FABRIC}", "__sys__@/s2"):
            for frame in (
                {"type": "Data", "payload": {"jsonrpc": "2.0", "id": "x", "result": 666}},
                {"type": "DeliveryAck", "ok": False, "code": "NO_ROUTE", "refId": "x"},
            ):
                await evil.say(frame, to=to, corrId=new_id())
        await evil.alive()


# Names


@against(*ALL)
async def test_names_of_the_fabric_itself_can_not_be_bound(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity(addresses=["**"])) as wire:
        reserved = ["__sys__@/s1", "__sys__@/s2", f"__sys__@{FABRIC}", f"__rpc__abc@{FABRIC}", f"__sys__@*.{FABRIC}"]
        for address in [*reserved, "innocent1@/s1/innocent1", "x@/", "@@", "a" * 5000 + f"@{FABRIC}", "a@b/../c"]:
            sent = await wire.say(
                {"type": "AddressBind", "address": address}, replyTo=f"__sys__@{wire.path}", corrId=new_id(), rtype=1
            )
            assert (await wire.answer_to(sent))["ok"] is False
        await wire.alive()


@against(*ALL)
async def test_a_pool_takes_no_call_from_an_exact_address(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity(addresses=["**"])) as wire:
        for pool in (f"{INNOCENTS[0]}@*.{FABRIC}", f"{INNOCENTS[1]}@*.fabric"):
            await wire.bind(pool)
        await given(0.5)  # the innocents go on calling, and whatever comes here gets no answer
        assert [each for each in wire.heard if each["frame"]["type"] == "Data"] == []


@against(*ALL)
async def test_an_address_of_another_is_not_unbound(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity(addresses=["**"])) as wire:
        for name in INNOCENTS:
            address = f"{name}@{FABRIC}"
            await wire.say(
                {"type": "AddressUnbind", "address": address}, corrId=new_id(), replyTo=f"__sys__@{wire.path}"
            )
            frame = {"type": "CapabilityWithdraw", "address": address, "capabilities": ["op:add"]}
            await wire.say(frame, corrId=new_id(), replyTo=f"__sys__@{wire.path}")
        await wire.alive()


@against(*ALL)
async def test_a_flood_of_names_stays_within_its_memory(stage: Stage) -> None:
    async with stage.undisturbed(grows=24 * MIB), stage.attached(stage.identity(addresses=["**"])) as wire:
        with contextlib.suppress(ConnectionClosed):
            for number in range(3000):
                frame = {"type": "AddressBind", "address": f"flood-{number}@{FABRIC}"}
                await wire.say(frame, replyTo=f"__sys__@{wire.path}", corrId=f"b{number}")
            await wire.hear(lambda each: each.get("corrId") == "b2999", within_s=20.0)


@against(*ALL)
async def test_a_flood_of_capabilities_stays_within_its_memory(stage: Stage) -> None:
    async with stage.undisturbed(grows=24 * MIB), stage.attached(stage.identity()) as wire:
        address = f"{wire.who.node_id}@{FABRIC}"
        await wire.bind(address)
        with contextlib.suppress(ConnectionClosed):
            for number in range(20):
                names = [f"evil.{number}.{each}" for each in range(1000)]
                frame = {"type": "CapabilityAdvertise", "address": address, "capabilities": names}
                await wire.say(frame, replyTo=f"__sys__@{wire.path}", corrId=f"c{number}")
            await wire.hear(lambda each: each.get("corrId") == "c19", within_s=20.0)


@against(*SECURED)
async def test_a_capability_is_not_offered_under_the_address_of_another(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        frame = {"type": "CapabilityAdvertise", "address": VICTIM, "capabilities": ["op:add", "fame.capability.math"]}
        sent = await wire.say(frame, replyTo=f"__sys__@{wire.path}", corrId=new_id(), rtype=1)
        assert (await wire.answer_to(sent))["code"] == "UNAUTHORIZED"


# Credit and control


@against(*ALL)
async def test_odd_credit_harms_the_link_it_comes_by_at_most(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        await wire.call(VICTIM, "add", x=3, y=4)
        flows = ["", "f" * 10_000, *wire.flows, *(new_id() for _ in range(2000))]
        for flow_id in flows:
            for credits in (-1, 0, -(2**62), 2**53, 32):
                await wire.send(wire.envelope({"type": "CreditUpdate", "flowId": flow_id, "credits": credits}))
        for credits in ("all", None, 1.5, 10**30, [1]):
            await wire.send(wire.envelope({"type": "CreditUpdate", "flowId": "f", "credits": credits}))
        await wire.alive()


@against(*ALL)
async def test_flows_without_end_fill_no_memory(stage: Stage) -> None:
    async with stage.undisturbed(grows=12 * MIB), stage.attached(stage.identity(), ours=True) as wire:
        with contextlib.suppress(ConnectionClosed):
            for number in range(20_000):
                await wire.send(wire.envelope({"type": "CreditUpdate", "flowId": f"flow-{number}", "credits": 1}))
        await given(0.5)


@against(*SIGNED)
async def test_a_flood_of_questions_for_keys_costs_nobody(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            for number in range(3000):
                kid = wire.who.kid if number % 2 else f"nobody-{number}"
                frame = {"type": "KeyRequest", "kid": kid, "physicalPath": wire.path}
                await wire.say(frame, corrId=f"k{number}")


@against(*SIGNED)
async def test_a_flood_of_keys_fills_no_memory(stage: Stage) -> None:
    async with stage.undisturbed(grows=16 * MIB):
        evil = stage.identity(roles=["peer"], prefixes=["**"])
        async with stage.attached(evil, kind="peer") as wire:
            with contextlib.suppress(ConnectionClosed):
                for number in range(300):
                    keys = [jwk for each in range(16) for jwk in Identity(f"k{each}").jwks()[:1]]
                    path = f"/{evil.node_id}/k{number}"
                    frame = {
                        "type": "KeyAnnounce",
                        "physicalPath": path,
                        "keys": keys,
                        "created": "2026-01-01T00:00:00Z",
                    }
                    await wire.say(frame)


@against(*SIGNED)
async def test_nothing_is_taken_without_a_signature(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity(), ours=True) as wire:
        corr_id = new_id()
        wire.signs = False
        how = {"replyTo": wire.inbox, "corrId": corr_id}
        await wire.say(request("add", corr_id, x=3, y=4), to=VICTIM, rtype=2, **how)
        frame = await wire.answer_to({"corrId": corr_id})
        assert frame["code"] == "SIGNATURE_REQUIRED"
        address = f"{wire.who.node_id}@{FABRIC}"
        others: list[Json] = [
            {"type": "AddressBind", "address": address},
            {"type": "CapabilityAdvertise", "address": address, "capabilities": ["x"]},
            {"type": "KeyAnnounce", "physicalPath": wire.path, "keys": Identity("x").jwks()},
            {"type": "KeyRequest", "kid": "x", "physicalPath": "/s1"},
            {"type": "MeshUpdate", "records": []},
        ]
        for each in others:
            await wire.say(each, **{**how, "corrId": new_id()})
        wire.signs = True
        async with stage.watching() as caller:
            assert (await caller.call(address, "add", x=3, y=4))["code"] == "NO_ROUTE"


@against("strict-overlay")
async def test_a_strict_agent_takes_nothing_in_clear(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        assert (await wire.call(VICTIM, "add", x=3, y=4))["code"] == "CRYPTO_LEVEL"


@against(*SIGNED)
async def test_a_header_that_says_it_is_sealed_excuses_from_nothing(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        for enc in ({"alg": "ECDH-ES+A256GCM", "kid": "x", "val": "AAAA"}, {"alg": "x"}, {}, "x", 1, [], None):
            corr_id = new_id()
            how = {"to": VICTIM, "replyTo": wire.inbox, "rtype": 2, "corrId": corr_id}
            sent = wire.sign(wire.envelope(request("add", corr_id, x=3, y=4), **how))
            sent["frame"]["payload"]["params"]["x"] = 1000
            sent["sec"]["enc"] = enc
            await wire.send(sent)
            frame = await wire.answer_to(sent)
            assert frame.get("ok") is False or "error" in frame["payload"]
        await wire.alive()


# The mesh


def record(node_id: str, *, links: Json | None = None, offers: Json | None = None, **more: object) -> Json:
    """Return a record of a sentinel, as MeshUpdate carries it; nobody has signed it."""
    told: Json = {"id": node_id, "instance": "evil", "incarnation": 2**52, "kid": "", "sig": ""} | more
    for name, entries in (("links", links), ("offers", offers)):
        if entries is not None:
            told[name] = {"base": 0, "version": 1, "put": entries, "sig": str(more.get("sig", ""))}
    return told


@against(*SIGNED)
async def test_a_record_of_another_sentinel_is_not_taken_from_who_can_not_sign_it(stage: Stage) -> None:
    async with stage.undisturbed():
        evil = stage.identity(roles=["peer"], prefixes=["**"])
        async with stage.attached(evil, kind="peer", ours=True) as wire:
            own = {"kid": evil.kid, "sig": "A" * 86}
            for told in (
                record("s2", links={}, offers={}),
                record("s2", links={}, offers={}, **own),
                record("s1", links={}, offers={}, **own),
                record("s2", links={}, offers={}, incarnation=2**53 - 2, **own),
                record("s2", links={}, offers={}, incarnation=2**63, **own),
                record("s3", links={"s1": 1, "s2": 1}, offers={VICTIM: 1}, **own),
            ):
                with contextlib.suppress(ConnectionClosed):
                    await wire.say({"type": "MeshUpdate", "records": [told]})
            await given(0.5)


@against(*SIGNED)
async def test_a_link_that_one_end_alone_tells_of_is_not_used(stage: Stage) -> None:
    async with stage.undisturbed():
        evil = stage.identity(roles=["peer"], prefixes=["**"])
        async with stage.attached(evil, kind="peer", ours=True) as wire:
            await wire.say({"type": "MeshUpdate", "records": [own_record(evil, {"s1": 1, "s2": 1}, {})]})
            await given(0.5)
            assert [each for each in wire.heard if each["frame"]["type"] == "Data"] == []


@against(*SECURED)
async def test_a_peer_offers_nothing_beyond_its_prefixes_in_its_record_either(stage: Stage) -> None:
    async with stage.undisturbed():
        evil = stage.identity(roles=["peer"], prefixes=[f"evil*@{FABRIC}"])
        async with stage.attached(evil, kind="peer", ours=True) as wire:
            name = f"unowned-{secrets.token_hex(3)}@{FABRIC}"
            offers = {name: 1, VICTIM: 1, f"op:add {name}": 1, f"{INNOCENTS[0]}@*.{FABRIC}": 1}
            await wire.say({"type": "MeshUpdate", "records": [own_record(evil, {"s1": 1}, offers)]})
            await wire.alive()
            async with stage.watching() as caller:
                assert (await caller.call(name, "add", x=3, y=4))["code"] == "NO_ROUTE"


@against("open", *SECURED)
async def test_records_without_end_fill_no_memory(stage: Stage) -> None:
    async with stage.undisturbed(grows=24 * MIB):
        evil = stage.identity(roles=["peer"], prefixes=["**"])
        async with stage.attached(evil, kind="peer", ours=True) as wire:
            with contextlib.suppress(ConnectionClosed):
                for number in range(200):
                    ghosts = [record(f"ghost-{number}-{each}", links={"s9": 1}, offers={}) for each in range(100)]
                    await wire.say({"type": "MeshUpdate", "records": ghosts})
            await given(0.5)


def own_record(who: Identity, links: Json, offers: Json) -> Json:
    """Return the record of a sentinel as it signs it itself; sums of sets are taken from `Section`."""
    incarnation = 2**50
    told: Json = {"id": who.node_id, "instance": "evil", "incarnation": incarnation, "kid": who.kid}
    told["sig"] = signed(who, f"fame-life\x1f{who.node_id}\x1fevil\x1f{incarnation}")
    for name, entries in (("links", links), ("offers", offers)):
        section = Section(sum=0)
        for key, value in entries.items():
            section.put(key, value, 0.0)
        version = max(1, section.version)
        text = f"fame-set\x1f{who.node_id}\x1fevil\x1f{incarnation}\x1f{name}\x1f{version}\x1f{section.digest()}"
        told[name] = {"base": 0, "version": version, "put": entries, "sig": signed(who, text)}
    return told


def signed(who: Identity, text: str) -> str:
    """Return a signature in base64url."""
    return b64(who.signing.sign(text.encode()))
