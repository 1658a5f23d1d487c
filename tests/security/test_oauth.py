"""Where tokens to show come from: when they are asked for again, and what is said when there is none."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from node_rig import bounded
from token_rig import NOW, claims_of, http, key_of, sign, web_server

from fame_cli.core.grant import Grant
from fame_cli.errors import AdmissionRefused, ConfigError, ConnectError, FameError
from fame_cli.security import web
from fame_cli.security.authority import Authority
from fame_cli.security.jwk import generate
from fame_cli.security.oauth import (
    RETRY_S,
    ClientCredentials,
    Credential,
    CredentialSource,
    SelfIssued,
    StaticToken,
    TokenFile,
    expiry_of,
    renew_at,
    source_of,
)
from fame_cli.security.settings import Admission
from fame_cli.security.tokens import TokenVerifier

KEY = key_of()
VECTOR: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "security" / "token_endpoint.json").read_text(encoding="utf-8")
)
SECRET = "s-test-secret"


def token_until(seconds: float) -> str:
    return sign(KEY, claims_of(exp=seconds))


def got(source: CredentialSource, now: float = NOW) -> Credential:
    return bounded(source.get(now))


def failure(source: CredentialSource, now: float = NOW) -> FameError:
    with pytest.raises(FameError) as error:
        got(source, now)
    return error.value


COMMAND = "fame token issue --node NAME --role ROLE --thumbprint JKT"


# Static, and files


def test_a_token_of_the_config_is_shown_as_it_is_until_it_ends() -> None:
    token = token_until(NOW + 60)
    source = StaticToken(token)
    assert got(source) == (token, NOW + 60)
    refused = failure(source, NOW + 60)
    assert isinstance(refused, AdmissionRefused)
    assert str(refused) == f"the token has expired; get a new one: {COMMAND}"


def test_a_token_that_is_no_jwt_is_shown_as_well() -> None:
    assert got(StaticToken("opaque")) == ("opaque", None)


def test_a_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "math1.jwt"
    tokens = [token_until(NOW + 60), token_until(NOW + 600)]
    file.write_text(f"{tokens[0]}\n")
    source = TokenFile(file)
    assert got(source) == (tokens[0], NOW + 60)
    fresh = tmp_path / "fresh"
    fresh.write_text(tokens[1])
    fresh.replace(file)
    assert got(source, NOW + 60) == (tokens[1], NOW + 600)


def test_a_token_file_that_is_away_for_a_while_keeps_its_token(tmp_path: Path) -> None:
    file = tmp_path / "math1.jwt"
    file.write_text(token_until(NOW + 60))
    source = TokenFile(file)
    before = got(source)
    file.unlink()
    assert got(source) == before
    assert str(failure(source, NOW + 60)).startswith(f"the token in {file} has expired; ")


def test_a_token_file_that_was_never_there_is_an_error_with_its_place(tmp_path: Path) -> None:
    error = failure(TokenFile(tmp_path / "none.jwt"))
    assert str(error) == (
        f"{tmp_path}/none.jwt: can't be read: no such file or directory; "
        f"put one there, issued where the authority is: {COMMAND} --out none.jwt"
    )
    assert error.exit_code == 3


@pytest.mark.parametrize("content", [b"", b"  \n", b"two tokens", b"\xff\xfe", b"x" * 9000])
def test_a_file_without_a_token_is_an_error_that_shows_nothing_of_it(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(content)
    assert str(failure(TokenFile(file))) == f"{file}: no token in it; write one token and nothing else"


# The home's own authority


def test_where_the_authority_is_at_home_a_node_issues_its_own_token() -> None:
    authority = Authority(generate().signing, fabric="fame.fabric")
    grant = Grant("n", node="n", roles=frozenset({"client"}), thumbprint="jkt")
    source = SelfIssued(lambda: authority, grant, ttl_s=100)
    first = got(source)
    assert first.expires_at == NOW + 100
    verified = TokenVerifier([], authority.public_jwks, "fame.fabric", 60.0).verify(first.token, NOW)
    assert (verified.subject, verified.thumbprint) == ("n", "jkt")
    assert got(source, NOW + 79) == first
    second = got(source, NOW + 80)
    assert (second.expires_at, second.token != first.token) == (NOW + 180, True)


def test_a_node_that_issues_its_own_token_renews_it_with_the_key_the_authority_has_by_then() -> None:
    keys = [Authority(generate().signing, fabric="fame.fabric") for _ in range(2)]
    source = SelfIssued(lambda: keys[0], Grant("n", node="n", thumbprint="jkt"), ttl_s=100)
    got(source)
    del keys[0]
    verifier = TokenVerifier([], keys[0].public_jwks, "fame.fabric", 60.0)
    assert verifier.verify(got(source, NOW + 80).token, NOW + 80).subject == "n"


def test_a_node_whose_home_has_the_authority_no_more_says_so() -> None:
    with pytest.raises(AdmissionRefused, match="isn't in this home any more"):
        got(SelfIssued(lambda: None, Grant("n")))


# A token server


class TokenServer:
    """Answer as the server of the vectors, or as a test wants it, and keep what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.document: object = {"access_token": "token-1", "token_type": "Bearer", "expires_in": 3600}
        self.asked: list[tuple[str, dict[str, str]]] = []

    def __call__(self, request: str, form: dict[str, str]) -> bytes:
        self.asked.append((request, form))
        return http(self.status, self.document)


def with_server(server: Callable[[str, dict[str, str]], bytes], test: Callable[[ClientCredentials], Any]) -> str:
    """Run a test against a token server; return where it was."""

    async def main() -> str:
        async with web_server(server) as url:
            form = VECTOR["request"]["form"]
            await test(
                ClientCredentials(
                    Admission(
                        token_url=f"{url}/oauth/token",
                        client_id=form["client_id"],
                        client_secret=SECRET,
                        audience=form["audience"],
                    )
                )
            )
            return url

    return bounded(main())


def test_a_token_is_asked_for_as_the_vector_shows() -> None:
    server = TokenServer()
    server.document = VECTOR["response"]["json"]
    at = VECTOR["decoded"]["claims"]["iat"]

    async def test(source: ClientCredentials) -> None:
        assert await source.get(at) == (VECTOR["response"]["json"]["access_token"], at + 3600)

    with_server(server, test)
    assert server.asked == [("POST /oauth/token HTTP/1.1", VECTOR["request"]["form"])]


def test_a_token_is_kept_until_shortly_before_it_ends() -> None:
    server = TokenServer()

    async def test(source: ClientCredentials) -> None:
        await source.get(NOW)
        await source.get(NOW + 3569)
        assert len(server.asked) == 1
        server.document = {"access_token": "token-2", "token_type": "bearer", "expires_in": 3600}
        assert await source.get(NOW + 3570) == ("token-2", NOW + 7170)

    with_server(server, test)


@pytest.mark.parametrize(("life_s", "used_s"), [(3600, 3570), (150, 120), (100, 80), (10, 8)])
def test_a_token_is_renewed_half_a_minute_before_its_end_or_late_in_a_short_life(life_s: float, used_s: float) -> None:
    assert renew_at(NOW, NOW + life_s) == NOW + used_s


def test_however_many_ask_at_once_the_server_is_asked_once() -> None:
    server = TokenServer()

    async def test(source: ClientCredentials) -> None:
        found = await asyncio.gather(*(source.get(NOW) for _ in range(20)))
        assert (len(set(found)), len(server.asked)) == (1, 1)

    with_server(server, test)


def test_a_token_without_an_end_is_asked_for_each_time() -> None:
    server = TokenServer()
    server.document = {"access_token": "opaque", "token_type": "Bearer"}

    async def test(source: ClientCredentials) -> None:
        assert await source.get(NOW) == ("opaque", None)
        await source.get(NOW)
        assert len(server.asked) == 2

    with_server(server, test)


def test_the_sooner_of_two_ends_counts() -> None:
    server = TokenServer()
    server.document = {"access_token": token_until(NOW + 60), "token_type": "Bearer", "expires_in": 3600}

    async def test(source: ClientCredentials) -> None:
        assert (await source.get(NOW)).expires_at == NOW + 60

    with_server(server, test)


def test_a_server_that_fails_for_a_while_is_asked_again_later_while_the_token_is_good() -> None:
    server = TokenServer()

    async def test(source: ClientCredentials) -> None:
        first = await source.get(NOW)
        server.status = 503
        assert await source.get(NOW + 3570) == first
        assert await source.get(NOW + 3570 + RETRY_S - 1) == first
        assert len(server.asked) == 2
        assert await source.get(NOW + 3570 + RETRY_S) == first
        assert len(server.asked) == 3
        with pytest.raises(ConnectError):
            await source.get(NOW + 3600)

    with_server(server, test)


NAYLENCE = {case["form"]: case for case in VECTOR["errors"]}


@pytest.mark.parametrize(
    ("status", "document", "told"),
    [
        (400, NAYLENCE["grant_type=password"]["json"], ": unsupported_grant_type: Only client_credentials and"),
        (401, NAYLENCE["wrong client_secret"]["json"], ": invalid_client: Invalid client credentials; check"),
        (401, {"error": "invalid_client"}, ": invalid_client; check FAME_ADMISSION_CLIENT_ID"),
        (422, {"detail": [{"loc": ["body"], "msg": "Field required"}]}, "HTTP 422; check"),
        (403, {"detail": "no\n\x1b[31m way"}, ": no [31m way; check"),
        (403, None, "HTTP 403; check"),
    ],
)
def test_a_server_that_refuses_is_told_in_one_line_with_what_to_check(status: int, document: object, told: str) -> None:
    server = TokenServer()
    server.status, server.document = status, document
    seen: list[str] = []

    async def test(source: ClientCredentials) -> None:
        with pytest.raises(AdmissionRefused) as refused:
            await source.get(NOW)
        seen.append(str(refused.value))
        assert refused.value.exit_code == 4

    url = with_server(server, test)
    assert seen[0].startswith(f"token server {url} answered HTTP {status}")
    assert told in seen[0]
    assert seen[0].isprintable()


def test_a_server_that_echoes_the_secret_does_not_get_it_into_the_message() -> None:
    server = TokenServer()
    server.status, server.document = 401, {"error": f"wrong secret {SECRET}"}

    async def test(source: ClientCredentials) -> None:
        with pytest.raises(AdmissionRefused) as refused:
            await source.get(NOW)
        assert SECRET not in f"{refused.value} {refused.value!r}"
        assert "wrong secret ***" in str(refused.value)

    with_server(server, test)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"access_token": "x"},
        {"access_token": "x", "token_type": "mac"},
        {"access_token": "", "token_type": "Bearer"},
        {"access_token": 7, "token_type": "Bearer"},
        {"access_token": "x" * 9000, "token_type": "Bearer"},
        {"access_token": "x y", "token_type": "Bearer"},
        {"access_token": "x\r\nHost: evil", "token_type": "Bearer"},
        {"access_token": "é", "token_type": "Bearer"},
    ],
)
def test_an_answer_without_a_token_that_can_be_shown_is_a_failure(document: object) -> None:
    server = TokenServer()
    server.document = document

    async def test(source: ClientCredentials) -> None:
        with pytest.raises(ConnectError, match="token server http://127"):
            await source.get(NOW)

    with_server(server, test)


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "TIMEOUT_S", 0.05)

    async def test(source: ClientCredentials) -> None:
        with pytest.raises(ConnectError, match=r"didn't answer within 0.05 s; is FAME_ADMISSION_TOKEN_URL right\?"):
            await source.get(NOW)

    with_server(lambda request, form: b"", test)


def test_a_secret_does_not_go_to_another_host_in_the_clear() -> None:
    with pytest.raises(ConfigError, match="token server: plain http:// to another host"):
        ClientCredentials(Admission(token_url="http://idp.example/token", client_id="c", client_secret=SECRET))
    assert ClientCredentials(Admission(token_url="http://idp:1/token"), ["idp"])


# Choosing


def test_the_config_says_where_tokens_come_from(tmp_path: Path) -> None:
    assert source_of(Admission()) is None
    assert isinstance(source_of(Admission(token="x", token_file=tmp_path)), StaticToken)
    assert isinstance(source_of(Admission(token_file=tmp_path, token_url="http://x")), TokenFile)
    assert isinstance(source_of(Admission(token_url="https://idp.example/token")), ClientCredentials)


def test_no_repr_shows_a_token_or_a_secret() -> None:
    authority = Authority(generate().signing, fabric="f")
    own = SelfIssued(lambda: authority, Grant("n"))
    shown = [got(own), own, StaticToken("s3cr3t"), Credential("s3cr3t", None)]
    assert "s3cr3t" not in repr(shown)
    assert got(own).token not in repr(shown)
    assert "s3cr3t" not in repr(Admission(token="s3cr3t", client_secret="s3cr3t"))
    assert SECRET not in repr(ClientCredentials(Admission(token_url="https://x", client_secret=SECRET)))


def test_a_text_that_is_no_token_says_no_end() -> None:
    assert [expiry_of(text) for text in ("", "a.b.c", sign(KEY, claims_of(exp=None)))] == [None, None, None]


def test_a_pipe_is_no_token_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token")
    assert "can't be read: not a regular file" in str(failure(TokenFile(tmp_path / "token")))
