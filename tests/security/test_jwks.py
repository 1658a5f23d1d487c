"""Keys of issuers: read from files, and fetched: when, how often, and what is taken for an answer."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from node_rig import bounded
from token_rig import (
    AGENT_GRANT,
    AUDIENCE,
    ISSUER,
    NOW,
    Respond,
    claims_of,
    http,
    jwk_of,
    key_of,
    sign,
    verifier_of,
    web_server,
)

from fame_cli.core.grant import Grant
from fame_cli.errors import ConfigError
from fame_cli.security import web
from fame_cli.security.jwk import to_base64
from fame_cli.security.jwks import FRESH_S, RETRY_FAILED_S, RETRY_S, STALE_S, IssuerKeys
from fame_cli.security.settings import Issuer
from fame_cli.security.tokens import KeysMissing, TokenRefused, TokenVerifier

KEY, NEW_KEY = key_of(), key_of()
JWKS = {"keys": [jwk_of(KEY)]}


class Server:
    """Be the JWKS of an issuer, and count how often it is asked."""

    def __init__(self, document: object = JWKS, status: int = 200) -> None:
        self.answer = http(status, document)
        self.asked: list[str] = []

    def __call__(self, request: str, form: dict[str, str]) -> bytes:
        self.asked.append(request)
        return self.answer


def with_server(respond: Respond, test: Callable[[str], Any]) -> None:
    async def main() -> None:
        async with web_server(respond) as url:
            await test(url)

    bounded(main())


def verifier_at(url: str, **how: Any) -> TokenVerifier:
    return verifier_of(Issuer(ISSUER, AUDIENCE, jwks_url=f"{url}/jwks", grant=AGENT_GRANT), **how)


async def verified(verifier: TokenVerifier, token: str, now: float) -> Grant:
    """Verify as a node does: fetch keys if they are missing, once."""
    try:
        return verifier.verify(token, now)
    except KeysMissing as missing:
        await verifier.refresh(missing.issuer, now)
        return verifier.verify(token, now)


def test_keys_are_fetched_when_they_are_first_needed_and_kept() -> None:
    server = Server()

    async def test(url: str) -> None:
        verifier = verifier_at(url)
        assert server.asked == []
        for number in range(5):
            assert await verified(verifier, sign(KEY, claims_of(n=number)), NOW + number)
        assert server.asked == ["GET /jwks HTTP/1.1"]

    with_server(server, test)


def test_keys_are_fetched_again_when_they_are_old_though_the_token_is_known() -> None:
    server = Server()

    async def test(url: str) -> None:
        verifier, token = verifier_at(url), sign(KEY, claims_of())
        await verified(verifier, token, NOW)
        server.answer = http(200, {"keys": [jwk_of(NEW_KEY)]})
        assert await verified(verifier, token, NOW + FRESH_S - 1)
        with pytest.raises(TokenRefused, match="bad signature"):
            await verified(verifier, token, NOW + FRESH_S)

    with_server(server, test)


def test_a_new_key_of_the_issuer_is_found_once_it_may_be_looked_for() -> None:
    server = Server()

    async def test(url: str) -> None:
        verifier = verifier_at(url)
        await verified(verifier, sign(KEY, claims_of()), NOW)
        server.answer = http(200, {"keys": [jwk_of(NEW_KEY, "k2")]})
        token = sign(NEW_KEY, claims_of(), kid="k2")
        with pytest.raises(TokenRefused, match="unknown key"):
            verifier.verify(token, NOW + RETRY_S - 1)
        assert await verified(verifier, token, NOW + RETRY_S)
        assert len(server.asked) == 2

    with_server(server, test)


def test_made_up_key_ids_do_not_make_a_node_knock_at_the_door() -> None:
    server = Server()

    async def test(url: str) -> None:
        verifier = verifier_at(url)
        for number in range(200):
            with pytest.raises(TokenRefused, match="unknown key"):
                await verified(verifier, sign(NEW_KEY, claims_of(), kid=f"made-up-{number}"), NOW + number / 10)
        assert len(server.asked) == 1

    with_server(server, test)


def test_however_many_need_the_keys_at_once_they_are_fetched_once() -> None:
    server = Server()

    async def test(url: str) -> None:
        verifier = verifier_at(url)
        tokens = [sign(KEY, claims_of(n=number)) for number in range(20)]
        grants = await asyncio.gather(*(verified(verifier, token, NOW) for token in tokens))
        assert (len(grants), len(server.asked)) == (20, 1)

    with_server(server, test)


def test_who_gives_up_waiting_leaves_the_fetching_to_the_others() -> None:
    server = Server()

    async def test(url: str) -> None:
        verifier, token = verifier_at(url), sign(KEY, claims_of())
        first = asyncio.ensure_future(verified(verifier, token, NOW))
        second = asyncio.ensure_future(verified(verifier, token, NOW))
        await asyncio.sleep(0)
        first.cancel()
        assert await second

    with_server(server, test)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (http(500, {}), "answered HTTP 500 without a JWKS"),
        (http(302, JWKS), "answered HTTP 302 without a JWKS"),
        (http(200, []), "answered HTTP 200 without a JWKS"),
        (http(200, {"keys": "k"}), "answered HTTP 200 without a JWKS"),
        (http(200, body=b"<html>"), "answered HTTP 200 without a JWKS"),
        (http(200, body=b"[" * 100_000), "answered HTTP 200 without a JWKS"),
        (http(200, body=b" " * (web.MAX_BYTES + 1)), "answered more than 262144 bytes"),
        (b"nonsense\r\n\r\n", "can't be asked: RemoteProtocolError"),
    ],
)
def test_an_answer_without_keys_is_remembered_as_a_failure(answer: bytes, detail: str) -> None:
    server = Server()
    server.answer = answer

    async def test(url: str) -> None:
        verifier, token = verifier_at(url), sign(KEY, claims_of())
        with pytest.raises(TokenRefused, match="the issuer's keys can't be had") as refused:
            await verified(verifier, token, NOW)
        assert refused.value.detail == f"{url} {detail}"
        assert len(server.asked) == 1
        server.answer = http(200, JWKS)
        with pytest.raises(TokenRefused):
            await verified(verifier, token, NOW + RETRY_FAILED_S - 1)
        assert await verified(verifier, token, NOW + RETRY_FAILED_S)

    with_server(server, test)


def test_an_issuer_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "TIMEOUT_S", 0.05)

    async def test(url: str) -> None:
        with pytest.raises(TokenRefused) as refused:
            await verified(verifier_at(url), sign(KEY, claims_of()), NOW)
        assert refused.value.detail == f"{url} didn't answer within 0.05 s"

    with_server(lambda request, form: b"", test)


def test_an_issuer_that_cannot_be_reached_stays_believed_for_a_while() -> None:
    server = Server()

    async def test(url: str) -> None:
        verifier, token = verifier_at(url), sign(KEY, claims_of(exp=NOW + 2 * STALE_S))
        await verified(verifier, token, NOW)
        server.answer = http(503)
        assert await verified(verifier, token, NOW + FRESH_S)
        assert await verified(verifier, token, NOW + STALE_S - 1)
        with pytest.raises(TokenRefused, match="the issuer's keys can't be had"):
            await verified(verifier, token, NOW + STALE_S)

    with_server(server, test)


def test_nobody_listening_is_a_failure_like_another() -> None:
    async def test() -> None:
        async with web_server(Server()) as url:
            pass
        with pytest.raises(TokenRefused) as refused:
            await verified(verifier_at(url), sign(KEY, claims_of()), NOW)
        assert refused.value.detail == f"{url} can't be asked: ConnectError"

    bounded(test())


def test_refreshing_an_issuer_that_nobody_knows_does_nothing() -> None:
    bounded(verifier_at("http://127.0.0.1:1").refresh("http://other", NOW))


# Discovery


def config_of(url: str, **changes: object) -> dict[str, object]:
    return {"issuer": url, "jwks_uri": f"{url}/keys"} | changes


async def discovered(document: Callable[[str], object], status: int = 200) -> list[str]:
    """Verify a token of an issuer that has only its configuration; return what it was asked for."""
    asked: list[str] = []
    place: list[str] = []

    def respond(request: str, form: dict[str, str]) -> bytes:
        asked.append(request.split()[1])
        return http(200, JWKS) if asked[-1] == "/keys" else http(status, document(place[0]))

    async with web_server(respond) as url:
        place.append(url)
        issuer = Issuer(url, AUDIENCE, grant=AGENT_GRANT)
        await verified(verifier_of(issuer), sign(KEY, claims_of(iss=url)), NOW)
    return asked


def test_without_a_url_the_keys_are_where_the_issuer_says() -> None:
    assert bounded(discovered(config_of)) == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize(
    ("document", "status", "detail"),
    [
        (config_of, 404, "without the configuration of this issuer"),
        (lambda url: config_of(url, issuer="http://other"), 200, "without the configuration of this issuer"),
        (lambda url: config_of(url, jwks_uri=None), 200, "without the configuration of this issuer"),
        (lambda url: [], 200, "without the configuration of this issuer"),
        (lambda url: config_of(url, jwks_uri="http://other.example/keys"), 200, "plain http:// to another host"),
        (lambda url: config_of(url, jwks_uri="file:///etc/passwd"), 200, "not an http:// or https:// URL"),
    ],
)
def test_a_configuration_that_is_not_the_issuers_is_refused(
    document: Callable[[str], object], status: int, detail: str
) -> None:
    with pytest.raises(TokenRefused, match="the issuer's keys can't be had") as refused:
        bounded(discovered(document, status))
    assert detail in refused.value.detail


# What the config says


@pytest.mark.parametrize(
    ("issuer", "wrong"),
    [
        (Issuer("x", "a"), "keys of issuer x: not an http:// or https:// URL"),
        (Issuer("http://[x", "a"), "not a URL"),
        (Issuer("https://user:secret@host", "a"), "not an http:// or https:// URL"),
        (Issuer("http://idp.example", "a"), "plain http:// to another host"),
        (Issuer("https://idp.example", "a", jwks_url="http://idp.example/keys"), "plain http:// to another host"),
        (Issuer("https://idp.example", "a", "HS256"), "unknown algorithm 'HS256'; use EdDSA, RS256, ES256"),
        (Issuer("https://idp.example", "a", "none"), "unknown algorithm"),
    ],
)
def test_an_issuer_whose_keys_cannot_be_had_safely_is_an_error_at_start(issuer: Issuer, wrong: str) -> None:
    with pytest.raises(ConfigError) as error:
        IssuerKeys(issuer)
    assert wrong in str(error.value)


def test_plain_http_is_for_loopback_and_for_hosts_that_are_named() -> None:
    for url in ("http://localhost:1", "http://[::1]:1", "https://idp.example"):
        IssuerKeys(Issuer(url, "a"))
    IssuerKeys(Issuer("http://idp:8080", "a"), ["idp"])


def test_without_httpx_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(ConfigError, match=r"needs httpx; install it: pip install 'fame-cli\[http\]'"):
        IssuerKeys(Issuer(ISSUER, "a"))


# Files


def file_with(tmp_path: Path, content: object) -> Path:
    file = tmp_path / "keys"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return file


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256", "ES256"])
def test_a_pem_file_has_one_key_for_any_id(algorithm: str, tmp_path: Path) -> None:
    key = key_of(algorithm)
    file = file_with(tmp_path, key.as_pem(private=False))
    verifier = verifier_of(Issuer(ISSUER, AUDIENCE, algorithm, key_file=file, grant=AGENT_GRANT))
    assert verifier.verify(sign(key, claims_of(), alg=algorithm, kid="any"), NOW)
    with pytest.raises(TokenRefused, match="bad signature"):
        verifier.verify(sign(key_of(algorithm), claims_of(), alg=algorithm), NOW)


def test_a_file_with_one_jwk_is_as_good_as_a_jwks(tmp_path: Path) -> None:
    issuer = Issuer(ISSUER, AUDIENCE, key_file=file_with(tmp_path, jwk_of(KEY)), grant=AGENT_GRANT)
    assert verifier_of(issuer).verify(sign(KEY, claims_of()), NOW)
    with pytest.raises(TokenRefused, match="unknown key"):
        verifier_of(issuer).verify(sign(KEY, claims_of(), kid="k2"), NOW)


def test_a_key_file_is_not_fetched_again(tmp_path: Path) -> None:
    keys = IssuerKeys(Issuer(ISSUER, AUDIENCE, key_file=file_with(tmp_path, JWKS)))
    bounded(keys.refresh(NOW))
    assert keys.find("k1", NOW)


P384 = generate_private_key(SECP384R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"", "no public key"),
        (b"[]", "no public key"),
        (b'{"keys": 7}', "no public key"),
        (b"[" * 100_000, "no public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no public key"),
        ({"keys": []}, "no key for EdDSA"),
        (P384, "no key for EdDSA"),
        ({"keys": [jwk_of(KEY, use="enc")]}, "no key for EdDSA"),
        ({"keys": [jwk_of(KEY, alg="RS256")]}, "no key for EdDSA"),
        ({"keys": [jwk_of(KEY, key_ops=["sign"])]}, "no key for EdDSA"),
        ({"keys": [KEY.as_dict(private=False)]}, "no key for EdDSA"),
        ({"keys": [jwk_of(KEY, x="AA")]}, "no key for EdDSA"),
        ({"keys": [jwk_of(key_of("RS256"))]}, "no key for EdDSA"),
    ],
)
def test_a_file_without_a_key_of_use_is_an_error_with_its_place(content: object, wrong: str, tmp_path: Path) -> None:
    file = file_with(tmp_path, content)
    with pytest.raises(ConfigError) as error:
        IssuerKeys(Issuer(ISSUER, AUDIENCE, key_file=file))
    assert str(error.value) == f"{file}: {wrong}; give JWK, JWKS or PEM"


def test_a_short_rsa_key_is_none(tmp_path: Path) -> None:
    short = rsa_key(65537, 1024).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ConfigError, match="no public key"):
        IssuerKeys(Issuer(ISSUER, AUDIENCE, "RS256", key_file=file_with(tmp_path, short)))
    numbers = rsa_key(65537, 1024).public_key().public_numbers()
    modulus = to_base64(numbers.n.to_bytes(128))
    short_jwk = {"kty": "RSA", "n": modulus, "e": "AQAB", "kid": "k1"}
    with pytest.raises(ConfigError, match="no key for RS256"):
        IssuerKeys(Issuer(ISSUER, AUDIENCE, "RS256", key_file=file_with(tmp_path, short_jwk)))


def test_a_file_that_is_not_there_is_an_error_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read: no such file"):
        IssuerKeys(Issuer(ISSUER, AUDIENCE, key_file=tmp_path / "none"))
