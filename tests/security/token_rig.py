"""Issuers, their tokens and their servers, for the tests of tokens: real keys, real signatures, real sockets."""

import asyncio
import json
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl

from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from fame_cli.core.grant import Grant
from fame_cli.security.settings import Issuer
from fame_cli.security.tokens import TokenVerifier

NOW = 1_795_000_000.0
ISSUER = "http://127.0.0.1:1"
AUDIENCE = "fame.fabric"

Respond = Callable[[str, dict[str, str]], bytes]

AGENT_GRANT = Grant("anybody", roles=frozenset({"agent", "client"}), addresses=("*@fame.fabric",), capabilities=("**",))


def key_of(algorithm: str = "EdDSA") -> Key:
    """Make a private key for an algorithm."""
    if algorithm == "RS256":
        return RSAKey.generate_key(2048)
    if algorithm == "ES256":
        return ECKey.generate_key("P-256")
    return OKPKey.generate_key("Ed25519")


def jwk_of(key: Key, kid: str = "k1", **members: object) -> dict[str, Any]:
    """Return the public part of a key as a JWKS lists it."""
    return {**key.as_dict(private=False), "kid": kid, **members}


def sign(
    key: Key | str, claims: Mapping[str, Any] | bytes, *, alg: str = "EdDSA", kid: str | None = "k1", **header: Any
) -> str:
    """Sign claims as an issuer would, or would not."""
    protected = {"alg": alg, **({} if kid is None else {"kid": kid}), **{"typ": "JWT"}, **header}
    protected = {name: value for name, value in protected.items() if value is not None}
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
    used = OctKey.import_key(key) if isinstance(key, str) else key
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return jws.serialize_compact(protected, payload, used, registry=registry)


def claims_of(**changes: Any) -> dict[str, Any]:
    """Return good claims of another issuer, changed; None takes one out."""
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "client-test", "scope": "node.connect"}
    claims = usual | {"iat": int(NOW), "nbf": int(NOW), "exp": NOW + 3600.5, "jti": "id-1"} | changes
    return {name: value for name, value in claims.items() if value is not None}


def http(status: int = 200, document: object = None, *, body: bytes | None = None) -> bytes:
    """Write an HTTP answer."""
    content = json.dumps(document).encode() if body is None else body
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    return head.encode() + content


@asynccontextmanager
async def web_server(respond: Respond) -> AsyncIterator[str]:
    """Answer HTTP requests on loopback: `respond` gets the request line and the form."""

    over: list[asyncio.Event] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over.append(asyncio.Event())
        mine = over[-1]
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        form = dict(parse_qsl((await reader.readexactly(int(headers.get("content-length", "0")))).decode()))
        content = respond(head[0], form)
        writer.write(content)
        if not content:
            await reader.read()  # say nothing until the other side goes
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        mine.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for each in over:
            await each.wait()


def verifier_of(issuer: Issuer, **how: Any) -> TokenVerifier:
    """Return a verifier that believes one issuer."""
    return TokenVerifier([issuer], how.pop("home_keys", []), "fame.fabric", 60.0, **how)
