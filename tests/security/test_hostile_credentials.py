"""Credentials that aren't what they should be: stolen, forged, over, replayed, for somebody or something else."""

import hmac
import json
import secrets
import time
from collections.abc import Callable
from hashlib import sha256

import pytest
from hostile_rig import FABRIC, INNOCENTS, Stage, against
from hostile_wire import Identity, Mint, attach, b64, jws, new_id, request, unb64
from websockets.exceptions import InvalidMessage, InvalidStatus

pytestmark = pytest.mark.e2e

VICTIM = f"{INNOCENTS[1]}@{FABRIC}"
SECURED = ("gated", "overlay", "strict-overlay")
SIGNED = ("overlay", "strict-overlay")

Make = Callable[[Stage, str], str]


def with_public_key_as_secret(stage: Stage, node: str) -> str:
    """Sign with HS256, and the authority's public key as the secret that a careless verifier would take."""
    key = Mint(stage.home).public["x"].encode()
    return stage.token(node, header={"alg": "HS256"}, sign=lambda data: hmac.digest(key, data, "sha256"))


def tampered(stage: Stage, node: str) -> str:
    """Give oneself more than the authority did."""
    head, _, signature = stage.token(node).split(".")
    claims = json.loads(unb64(stage.token(node, roles=["admin", "peer"], addresses=["**"]).split(".")[1]))
    return f"{head}.{b64(json.dumps(claims).encode())}.{signature}"


def of_another_authority(stage: Stage, node: str) -> str:
    """Sign with a key of one's own under the authority's kid."""
    return stage.token(node, sign=Identity("x").signing.sign)


def with_a_key_of_its_own(stage: Stage, node: str) -> str:
    """Bring the key to verify with along (RFC 7515, 4.1.3: never to be believed)."""
    own = Identity("x")
    return stage.token(node, header={"jwk": own.jwk, "kid": own.kid}, sign=own.signing.sign)


FORGED: dict[str, Make] = {
    "expired": lambda stage, node: stage.token(node, ttl_s=-3600),
    "not yet good": lambda stage, node: stage.token(node, nbf=int(time.time()) + 3600),
    "for another fabric": lambda stage, node: stage.token(node, aud="other.fabric"),
    "of another issuer": lambda stage, node: stage.token(node, iss="https://evil.example"),
    "for nothing": lambda stage, node: stage.token(node, scope="read"),
    "alg none": lambda stage, node: stage.token(node, header={"alg": "none"}, sign=lambda _: b""),
    "HS256 with the public key": with_public_key_as_secret,
    "unknown kid": lambda stage, node: stage.token(node, header={"kid": "nobody"}),
    "no kid": lambda stage, node: stage.token(node, header={"kid": None}),
    "a path for a kid": lambda stage, node: stage.token(node, header={"kid": "../../etc/passwd"}),
    "another key under the kid": of_another_authority,
    "a key in the header": with_a_key_of_its_own,
    "a URL for keys": lambda stage, node: stage.token(node, header={"jku": "http://127.0.0.1:9/keys", "kid": "x"}),
    "critical members": lambda stage, node: stage.token(node, header={"crit": ["evil"], "evil": True}),
    "without exp": lambda stage, node: stage.token(node, without=["exp"]),
    "without aud": lambda stage, node: stage.token(node, without=["aud"]),
    "without sub": lambda stage, node: stage.token(node, without=["sub"]),
    "exp as text": lambda stage, node: stage.token(node, exp="never"),
    "exp of NaN": lambda stage, node: stage.token(node, exp=float("nan")),
    "exp beyond numbers": lambda stage, node: stage.token(node, exp=10**400),
    "tampered": tampered,
    "no JWT": lambda stage, node: "abc.def",
    "five parts": lambda stage, node: f"{stage.token(node)}.x.y",
    "endless": lambda stage, node: "A" * 60_000,
}


@pytest.mark.parametrize("name", FORGED)
@against("gated")
async def test_a_token_that_is_not_in_order_opens_no_link(stage: Stage, name: str) -> None:
    async with stage.undisturbed():
        evil = stage.identity(bound=False)
        evil.token = FORGED[name](stage, evil.node_id)
        for kind in ("downstream", "peer"):
            with pytest.raises((InvalidStatus, InvalidMessage)) as caught:
                async with stage.dial(evil, kind=kind):
                    pass
            assert name == "endless" or "HTTP 401" in str(
                caught.value
            )  # the transports end what is too long as they do


@against(*SECURED)
async def test_nobody_attaches_without_a_token(stage: Stage) -> None:
    async with stage.undisturbed():
        with pytest.raises(InvalidStatus) as caught:
            async with stage.dial(Identity("evil")):
                pass
        assert caught.value.response.status_code == 401


@against(*SECURED)
async def test_a_token_is_good_for_its_own_id_alone(stage: Stage) -> None:
    async with stage.undisturbed():
        thief = stage.identity()
        async with stage.dial(thief, url_id="somebody-else") as wire:
            thief.node_id = "somebody-else"
            ack = await attach(wire, signs=stage.signs)
            assert (ack["ok"], ack["code"]) == (False, "UNAUTHORIZED")
            assert (await wire.closed())[0] == 1008


@against(*SECURED)
async def test_a_stolen_token_that_is_bound_to_a_key_opens_nothing_without_it(stage: Stage) -> None:
    async with stage.undisturbed():
        owner = stage.identity(bound=True)
        thief = Identity(owner.node_id, owner.token, bound=True)
        for proof in ("", thief.proof(f"{stage.url()}/{owner.node_id}"), "x.y.z", "A" * 10_000):
            with pytest.raises(InvalidStatus) as caught:
                async with stage.dial(thief, proof=proof):
                    pass
            assert caught.value.response.status_code in (401, 431)


@against(*SECURED)
async def test_a_proof_is_good_once(stage: Stage) -> None:
    async with stage.undisturbed():
        owner = stage.identity(bound=True)
        proof = owner.proof(f"{stage.url()}/{owner.node_id}")
        async with stage.attached(owner, proof=proof) as wire:
            await wire.alive()
        with pytest.raises(InvalidStatus) as caught:
            async with stage.dial(owner, proof=proof):
                pass
        assert caught.value.response.status_code == 401


@against(*SECURED)
async def test_a_proof_is_good_for_its_own_path_time_and_token_alone(stage: Stage) -> None:
    async with stage.undisturbed():
        owner = stage.identity(bound=True)
        url = f"{stage.url()}/{owner.node_id}"
        wrong: list[dict[str, object]] = [
            {"htu": f"{stage.url(kind='peer')}/{owner.node_id}"},
            {"htu": f"{stage.url()}/somebody-else"},
            {"htm": "POST"},
            {"iat": int(time.time()) - 3600},
            {"iat": int(time.time()) + 3600},
            {"ath": b64(sha256(b"another token").digest())},
            {"jti": None},
        ]
        unsigned = {"typ": "dpop+jwt", "alg": "none", "jwk": owner.jwk}
        claims = {"htm": "GET", "htu": url, "iat": int(time.time()), "jti": secrets.token_hex(8)}
        proofs = [owner.proof(url, **changes) for changes in wrong]
        for proof in [*proofs, jws(unsigned, claims, lambda _: b"")]:
            with pytest.raises(InvalidStatus) as caught:
                async with stage.dial(owner, proof=proof):
                    pass
            assert caught.value.response.status_code == 401


@against(*SIGNED)
async def test_a_node_signs_with_the_key_of_its_token_and_no_other(stage: Stage) -> None:
    async with stage.undisturbed():
        owner = stage.identity(bound=True)
        other = Identity(owner.node_id, owner.token, bound=True)
        async with stage.dial(owner) as wire:
            ack = await attach(wire, signs=True, keys=other.jwks())
            assert (ack["ok"], ack["code"]) == (False, "UNAUTHORIZED")


@against("gated", "overlay")
async def test_a_token_that_ends_ends_its_link_in_the_middle_of_a_stream(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity(ttl_s=3)) as wire:
        corr_id = new_id()
        body = request("tick", corr_id, n=1000, s=0.05)
        await wire.say(body, to=VICTIM, replyTo=wire.inbox, rtype=4, corrId=corr_id, flowId=corr_id)
        await wire.hear(lambda each: each.get("corrId") == corr_id and each["frame"]["type"] == "Data")
        assert (await wire.closed(within_s=75.0))[0] == 4401


@against(*SECURED)
async def test_whoever_may_only_answer_can_not_call(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity(roles=["agent"])) as wire:
        frame = await wire.call(VICTIM, "add", x=3, y=4)
        assert frame["code"] == "UNAUTHORIZED"
        await wire.alive()


@against(*SECURED)
async def test_whoever_may_only_call_can_not_bind(stage: Stage) -> None:
    async with stage.undisturbed(), stage.attached(stage.identity(roles=["client"])) as wire:
        assert (await wire.bind(f"{wire.who.node_id}@{FABRIC}"))["code"] == "UNAUTHORIZED"
        await wire.alive()


@against(*SECURED)
async def test_no_token_proof_or_key_is_in_any_log(stage: Stage) -> None:
    async with stage.undisturbed():
        for who in (stage.identity(), stage.identity(bound=True), stage.identity(ttl_s=-60)):
            try:
                async with stage.attached(who) as wire:
                    await wire.call(VICTIM, "add", x=3, y=4)
            except (InvalidStatus, AssertionError):
                continue
    said = "\n".join(line for process in stage.processes.values() for line in list(process.log))
    assert said
    secrets = [secret for secret in (*stage.shown, *stage.private()) if secret]
    assert secrets
    assert [secret for secret in secrets if secret in said] == []
