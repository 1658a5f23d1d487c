"""Keys without certificates that are good here, and payloads that aren't what was sealed: profile strict-overlay."""

import time

import pytest
from hostile_rig import FABRIC, INNOCENTS, Stage, against
from hostile_wire import Identity, Json, Wire, b64, new_id, request

from fame_cli.security.certificates import chain_to_x5c
from fame_cli.security.issuing import CertificateAuthority

pytestmark = pytest.mark.e2e

VICTIM = f"{INNOCENTS[1]}@{FABRIC}"


async def announce(wire: Wire, x5c: object) -> None:
    """Tell the sentinel of the node's key, with certificates."""
    keys = wire.who.jwks()
    keys[0]["x5c"] = x5c
    await wire.say({"type": "KeyAnnounce", "physicalPath": wire.path, "keys": keys, "created": "2026-01-01T00:00:00Z"})


def chain(
    authority: CertificateAuthority, path: str, who: Identity, *, ttl_s: float = 3600, ago_s: float = 0
) -> list[str]:
    """Return certificates for a key at a path, as an authority issues them."""
    public = who.signing.public_key()
    return chain_to_x5c(authority.issue(path.rpartition("/")[2], path, public, time.time() - ago_s, ttl_s))


def authority_of(stage: Stage) -> CertificateAuthority:
    """Return the authority that everybody on a stage believes."""
    return CertificateAuthority.load((stage.home / "ca.pem").read_bytes(), (stage.home / "ca.key").read_bytes())


@against("strict-overlay")
async def test_a_key_without_a_certificate_may_nothing(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity(), certified=False) as wire:
        assert (await wire.call(VICTIM, "add", x=3, y=4))["code"] == "CERTIFICATE_REQUIRED"
        await wire.alive()


@against("strict-overlay")
async def test_certificates_that_are_not_good_here_are_none(stage: Stage) -> None:
    true, false = authority_of(stage), CertificateAuthority.create(FABRIC, time.time())
    async with stage.undisturbed(), stage.attached(stage.identity(), certified=False) as wire:
        who, other = wire.who, Identity("other")
        leaf = chain(true, wire.path, who)
        chains: list[object] = [
            chain(false, wire.path, who),
            [*chain(false, wire.path, who), *leaf],
            chain(true, "/s1", who),
            chain(true, "/s2/innocent2", who),
            chain(true, wire.path, other),
            chain(true, wire.path, who, ttl_s=60, ago_s=86_400),
            chain(true, wire.path, who, ago_s=-86_400),
            [leaf[0][:-40]],
            [leaf[0]] * 100,
            ["AAAA"],
            [1],
            {},
            "x" * 100_000,
        ]
        for number, each in enumerate(chains):
            await announce(wire, each)
            answer = await wire.call(VICTIM, "add", x=3, y=4)
            assert answer.get("code") == "CERTIFICATE_REQUIRED", f"chain {number}"
        await announce(wire, leaf)
        assert await stage.reaches(wire)


@against("strict-overlay")
async def test_what_can_not_be_opened_is_refused_and_harms_nobody(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        for alg in ("fame-sealed-1", "ECDH-ES+A256GCM", "chacha20-poly1305-channel", "none", ""):
            for payload in (b64(b"x" * 100), "", "%%%", 7, None, {"a": 1}):
                corr_id = new_id()
                frame: Json = {"type": "Data", "payload": payload, "codec": "b64"}
                sent = wire.sign(wire.envelope(frame, to=VICTIM, replyTo=wire.inbox, rtype=2, corrId=corr_id))
                sent["sec"]["enc"] = {"alg": alg, "kid": "nobody", "val": ""}
                await wire.send(sent)
                assert (await wire.answer_to(sent))["code"] in ("CRYPTO_LEVEL", "SIGNATURE_INVALID")
        await wire.alive()


@against("strict-overlay")
async def test_a_payload_is_not_swapped_under_a_signature(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity()) as wire:
        corr_id = new_id()
        how = {"to": VICTIM, "replyTo": wire.inbox, "rtype": 2, "corrId": corr_id}
        sent = wire.sign(wire.envelope(request("add", corr_id, x=3, y=4), **how))
        sent["frame"] |= {"payload": b64(b"another payload"), "codec": "b64"}
        sent["sec"]["enc"] = {"alg": "fame-sealed-1", "kid": "nobody", "val": ""}
        await wire.send(sent)
        assert (await wire.answer_to(sent))["code"] in ("CRYPTO_LEVEL", "SIGNATURE_INVALID")
