"""One raw link to a sentinel, and who is at its end: every byte as a test wants it.

Tokens, proofs, digests and signatures are made here from the specification (security.md 4 and 5, RFC 7515, 7638, 9449)
and not by the code under test, so that a mistake there can't hide.
"""

import asyncio
import json
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

__all__ = [
    "ALPHABET",
    "FABRIC",
    "Identity",
    "Json",
    "Mint",
    "Wire",
    "attach",
    "b64",
    "canonical",
    "digest62",
    "digest62_of",
    "jws",
    "new_id",
    "request",
    "thumbprint",
    "unb64",
]

Json = dict[str, Any]

FABRIC = "fame.fabric"
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
HEAR_S = 8.0
CREDITS = 16
"""After how many envelopes of a flow an honest node gives credit; the window of a plain one has 32."""


# What the specification says of bytes


def b64(data: bytes) -> str:
    """Write base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Read base64url without padding."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def base62(number: int) -> str:
    """Write a number in base 62."""
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = ALPHABET[digit] + digits
    return digits or "0"


def digest62(text: str) -> str:
    """Return the digest of security.md 4.1."""
    return base62(int.from_bytes(sha256(text.encode()).digest()[:16], "big"))


def canonical(value: Any) -> str:
    """Return the canonical JSON of security.md 5.2."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def new_id(at: float | None = None) -> str:
    """Return a fresh id that tells the time it was made, as nodes with proved keys make them."""
    moment = base62(int((time.time() if at is None else at) * 1000)).rjust(7, "0")
    return moment + "".join(secrets.choice(ALPHABET) for _ in range(9))


def thumbprint(jwk: Json) -> str:
    """Return the thumbprint of an OKP key (RFC 7638)."""
    members = {name: jwk[name] for name in ("crv", "kty", "x")}
    return b64(sha256(canonical(members).encode()).digest())


def jws(header: Json, claims: Json, sign: Callable[[bytes], bytes]) -> str:
    """Return a compact JWS."""
    head = ".".join(b64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    return f"{head}.{b64(sign(head.encode()))}"


def request(method: str, corr_id: str, **params: object) -> Json:
    """Return the Data frame of a call."""
    payload = {"jsonrpc": "2.0", "id": corr_id, "method": method, "params": params}
    return {"type": "Data", "payload": payload}


class Mint:
    """Issue tokens as a fabric's authority does, and as it never would.

    Args:
        home: the folder that `fame keys init` filled.
    """

    def __init__(self, home: Path) -> None:
        stored = json.loads((home / "authority.json").read_text(encoding="utf-8"))
        jwk = stored["keys"][0] if "keys" in stored else stored
        self.private = Ed25519PrivateKey.from_private_bytes(unb64(jwk["d"]))
        self.public: Json = {name: jwk[name] for name in jwk if name != "d"}
        self.issuer = f"fame:{thumbprint(jwk)}"

    def token(
        self,
        node: str,
        *,
        roles: Sequence[str] = ("agent", "client"),
        addresses: Sequence[str] = (),
        prefixes: Sequence[str] = (),
        pattern: str = "",
        jkt: str = "",
        ttl_s: float = 600,
        header: Mapping[str, object] | None = None,
        without: Sequence[str] = (),
        sign: Callable[[bytes], bytes] | None = None,
        **changes: object,
    ) -> str:
        """Return a token that is in order, but for what a test wants otherwise.

        Args:
            pattern: over the ids it is good for, "" for its own.
            without: claims to leave out.
            sign: another signature than the authority's.
            changes: other claims.
        """
        now = int(time.time())
        claims: Json = {
            "iss": self.issuer,
            "aud": FABRIC,
            "sub": node,
            "iat": now,
            "nbf": now,
            "exp": int(now + ttl_s),
            "jti": secrets.token_hex(8),
            "scope": "node.connect node.peer" if "peer" in roles else "node.connect",
            "fame": {
                "node": pattern or node,
                "roles": list(roles),
                "addresses": list(addresses) or [f"{node}@{FABRIC}"],
                "capabilities": ["**"],
                "prefixes": list(prefixes),
            },
        }
        claims |= {"cnf": {"jkt": jkt}} if jkt else {}
        claims = {name: value for name, value in (claims | changes).items() if name not in without}
        head = {"alg": "EdDSA", "typ": "JWT", "kid": self.public["kid"], **(header or {})}
        return jws(head, claims, sign or self.private.sign)

    def authority(self) -> tuple[Ed25519PrivateKey, Json]:
        """Return the authority's private key, and its public JWK."""
        stored = json.loads((self.home / "authority.json").read_text(encoding="utf-8"))
        jwk = stored["keys"][0] if "keys" in stored else stored
        return Ed25519PrivateKey.from_private_bytes(unb64(jwk["d"])), {name: jwk[name] for name in jwk if name != "d"}

    def issuer(self) -> str:
        """Return the authority's name."""
        _, jwk = self.authority()
        return f"fame:{b64(sha256(canonical({name: jwk[name] for name in ('crv', 'kty', 'x')}).encode()).digest())}"


class Identity:
    """Hold a node's keys and what it shows for itself.

    Args:
        node_id: as which it attaches.
        token: its grant, "" for none.
        bound: True when the token is for its key, and has to be shown with a proof.
    """

    def __init__(self, node_id: str, token: str = "", *, bound: bool = False) -> None:
        self.node_id = node_id
        self.token = token
        self.bound = bound
        self.signing = Ed25519PrivateKey.generate()
        self.encryption = X25519PrivateKey.generate()
        public = self.signing.public_key().public_bytes_raw()
        self.kid = digest62_of(public)[:16]
        self.jwk: Json = {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": b64(public),
            "kid": self.kid,
            "alg": "EdDSA",
            "use": "sig",
        }

    @property
    def thumbprint(self) -> str:
        """The thumbprint of the signing key."""
        return thumbprint(self.jwk)

    def jwks(self) -> list[Json]:
        """Return the public keys as NodeAttach tells them."""
        public = self.encryption.public_key().public_bytes_raw()
        sealing = {"kty": "OKP", "crv": "X25519", "x": b64(public), "kid": digest62_of(public)[:16]}
        grant = {"fame.grant": self.token} if self.bound else {}
        return [self.jwk | grant, sealing | {"alg": "ECDH-ES", "use": "enc"}]

    def proof(self, url: str, **changes: object) -> str:
        """Return a DPoP proof for a handshake at a URL (RFC 9449)."""
        header = {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": {name: self.jwk[name] for name in ("kty", "crv", "x")}}
        claims: Json = {
            "htm": "GET",
            "htu": url,
            "iat": int(time.time()),
            "jti": secrets.token_hex(16),
            "ath": b64(sha256(self.token.encode()).digest()),
        }
        return jws(header, claims | changes, self.signing.sign)


def digest62_of(data: bytes) -> str:
    """Return the digest of bytes."""
    return base62(int.from_bytes(sha256(data).digest()[:16], "big"))


# A link


@dataclass(slots=True)
class Wire:
    """One raw link to a sentinel.

    Args:
        socket: the connection.
        who: under whose name; its keys sign whatever `say` sends when `signs` is on.
        path: physical path the sentinel assigned, "" before it did.
        heard: every envelope that came, in order.
        flows: how many came in each flow.
    """

    socket: ClientConnection
    who: Identity
    signs: bool = False
    path: str = ""
    heard: list[Json] = field(default_factory=list)
    flows: dict[str, int] = field(default_factory=dict)

    @property
    def sid(self) -> str:
        """The digest of its path."""
        return digest62(self.path)

    @property
    def inbox(self) -> str:
        """Where answers come to."""
        return f"__rpc__{self.who.node_id.replace('.', '-')}@{self.path}"

    def envelope(self, frame: Json, **fields: Any) -> Json:
        """Return an envelope, not signed."""
        base: Json = {"version": "1.0", "id": new_id(), "traceId": new_id()}
        if self.path:
            base["sid"] = self.sid
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + ".000Z"
        return {**base, "ts": stamp, "frame": frame} | fields

    def sign(self, envelope: Json, *, key: Identity | None = None, path: str = "") -> Json:
        """Return an envelope signed as security.md 5 says.

        Args:
            key: who signs; this one when None.
            path: of the signer; its own when "".
        """
        key = key or self.who
        frame = dict(envelope["frame"])
        if frame["type"] == "Data":
            digest = frame.setdefault(
                "pd", digest62(canonical(frame["payload"])) if "payload" in frame else digest62("")
            )
        else:
            digest = digest62(canonical(without_nulls(frame)))
        names = {"trace_id": "traceId", "reply_to": "replyTo", "corr_id": "corrId"}
        plain = ("version", "id", "sid", "to", "capabilities")
        covered = {name: envelope.get(name) for name in plain}
        covered |= {name: envelope.get(wire) for name, wire in names.items()}
        text = "\x1f".join((digest62(path or self.path), canonical(covered), digest))
        value = b64(key.signing.sign(text.encode()))
        return envelope | {"frame": frame, "sec": {"sig": {"kid": key.kid, "val": value}}}

    async def say(self, frame: Json, **fields: Any) -> Json:
        """Send an envelope, signed where that is on; returns it."""
        envelope = self.envelope(frame, **fields)
        if self.signs:
            envelope = self.sign(envelope)
        await self.send(envelope)
        return envelope

    async def send(self, data: Json | bytes | str) -> None:
        """Send an envelope as it is, or any message."""
        await self.socket.send(json.dumps(data).encode() if isinstance(data, dict) else data)

    async def hear(self, what: Callable[[Json], bool], within_s: float = HEAR_S) -> Json:
        """Return the first envelope of those to come that a test waits for.

        Raises:
            TimeoutError: there is none within that many seconds.
        """
        async with asyncio.timeout(within_s):
            while True:
                fits = [each for each in await self.receive() if what(each)]
                if fits:
                    return fits[0]

    async def receive(self) -> list[Json]:
        """Return the envelopes of the next message, and give credit for them as an honest node does."""
        message = await self.socket.recv()
        text = message if isinstance(message, str) else message.decode()  # a refusal of the original is a text frame
        envelopes: list[Json] = [json.loads(line) for line in text.split("\n")]
        for each in (each for each in envelopes if "flowId" in each):
            flow_id = each["flowId"]
            self.flows[flow_id] = self.flows.get(flow_id, 0) + 1
            if self.flows[flow_id] % CREDITS == 0:
                names = {"replyTo": each.get("to"), "corrId": flow_id} if flow_id == each.get("corrId") else {}
                grant = {"type": "CreditUpdate", "flowId": flow_id, "credits": CREDITS}
                await self.send(self.envelope(grant, **names))
        self.heard += envelopes
        return envelopes

    async def answer_to(self, sent: Json, within_s: float = HEAR_S) -> Json:
        """Return the frame that answers an envelope."""
        about = sent.get("corrId")
        found = await self.hear(lambda each: about is not None and each.get("corrId") == about, within_s)
        frame: Json = found["frame"]
        return frame

    async def call(self, to: str, method: str, *, within_s: float = HEAR_S, **params: object) -> Json:
        """Call and return the frame of the answer."""
        corr_id = new_id()
        sent = await self.say(request(method, corr_id, **params), to=to, replyTo=self.inbox, rtype=2, corrId=corr_id)
        return await self.answer_to(sent, within_s)

    async def bind(self, address: str, **more: object) -> Json:
        """Bind an address and return the frame of the answer."""
        frame = {"type": "AddressBind", "address": address, "physicalPath": self.path} | more
        reply_to = f"__sys__@{self.path}"
        return await self.answer_to(await self.say(frame, replyTo=reply_to, rtype=1, corrId=new_id()))

    async def alive(self) -> None:
        """See that the link still works: a heartbeat is answered."""
        sent = await self.say({"type": "NodeHeartbeat"}, corrId=new_id())
        assert (await self.answer_to(sent))["type"] == "NodeHeartbeatAck"

    async def closed(self, within_s: float = HEAR_S) -> tuple[int, str]:
        """Wait for the end of the link; returns code and reason."""
        async with asyncio.timeout(within_s):
            try:
                while True:
                    await self.receive()
            except ConnectionClosed as error:
                return (error.rcvd.code, error.rcvd.reason) if error.rcvd is not None else (1006, "")


def without_nulls(value: Any) -> Any:
    """Drop members that are null, at every depth."""
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


async def attach(
    wire: Wire, origin: str = "downstream", *, signs: bool = False, ours: bool = False, **changes: object
) -> Json:
    """Send a NodeAttach and return the frame of the answer; takes the path from it.

    Args:
        signs: True to tell the keys, and to sign from here on.
        ours: True to speak of all our extensions, False to be a plain node.
        changes: other members of the frame.
    """
    who = wire.who
    frame: Json = {
        "type": "NodeAttach",
        "originType": origin,
        "systemId": who.node_id,
        "instanceId": new_id(),
        "acceptedLogicals": ["*"],
        "callbackGrants": [],
    }
    if signs:
        frame["keys"] = who.jwks()
    more: Json = {}
    if ours:
        mesh = ["mesh"] if origin == "peer" else []  # a child that speaks of it is a sentinel below another
        more["meta"] = {"fame.ext": ["batch", "cancel", "sys", "window", *mesh], "fame.window": 256}
        more["meta"]["fame.instance"] = frame["instanceId"]
    sent = wire.envelope(frame | changes, corrId=new_id(), **more)
    await wire.send(sent)
    ack = await wire.answer_to(sent)
    wire.path = ack.get("assignedPath") or ""
    wire.signs = signs
    return ack
