"""Where a node gets the token it shows: told, in a file, from a token server, or from the authority in its own home.

All of them answer `CredentialSource.get`, which gives a token that is good now and says when it ends, so that whoever
holds the link can renew it in time. Neither tokens nor secrets get into a repr, a message or a log line.
"""

import asyncio
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fame_cli.core.grant import Grant
from fame_cli.errors import AdmissionRefused, ConfigError, ConnectError, FameError
from fame_cli.security.authority import Authority, command_for
from fame_cli.security.files import open_regular, why
from fame_cli.security.jose import MAX_TOKEN_BYTES, TokenRefused, number, open_compact
from fame_cli.security.settings import Admission
from fame_cli.security.web import WebError, check_url, fetch, host_of

__all__ = [
    "ClientCredentials",
    "Credential",
    "CredentialSource",
    "SelfIssued",
    "StaticToken",
    "TokenFile",
    "expiry_of",
    "renew_at",
    "source_of",
]

EARLY_S = 30.0
"""Seconds before its end that a token is renewed."""

USED_SHARE = 0.8
"""Of a life too short for that, the share after which it is renewed."""

RETRY_S = 5.0
"""Seconds before a server that failed is asked again, while the old token is still good."""

SELF_ISSUED_TTL_S = 3600.0

_TOLD_CHARACTERS = 120


class Credential(NamedTuple):
    """Hold a token and when it ends, seconds since the epoch; None if it doesn't say."""

    token: str
    expires_at: float | None

    def __repr__(self) -> str:
        return f"Credential(expires_at={self.expires_at})"


class CredentialSource(Protocol):
    """Give the token to show."""

    async def get(self, now: float) -> Credential:
        """Return a token that is good now.

        Args:
            now: seconds since the epoch.

        Raises:
            AdmissionRefused: there is none and trying again won't help.
            ConnectError: there is none now; it may be had later.
            ConfigError: the file it should be in can't be read.
        """
        ...


def expiry_of(token: str) -> float | None:
    """Return when a token says it ends, seconds since the epoch; None if it isn't a JWT that does."""
    try:
        return number(open_compact(token).claims.get("exp"))
    except TokenRefused:
        return None


def renew_at(got_at: float, expires_at: float) -> float:
    """Return when a token should be renewed: `EARLY_S` before its end, or later in a short life."""
    life_s = expires_at - got_at
    return got_at + max(life_s - EARLY_S, USED_SHARE * life_s)


class StaticToken:
    """Show the token of the config or of a variable."""

    def __init__(self, token: str, command: str = "") -> None:
        self._credential = Credential(token, expiry_of(token))
        self._command = command

    async def get(self, now: float) -> Credential:
        """Return it."""
        return _unexpired(self._credential, now, "the token", self._command)


class TokenFile:
    """Show the token that is in a file, read again when the file changes."""

    def __init__(self, path: Path, command: str = "") -> None:
        self._path = path
        self._command = command
        self._stamp: tuple[int, ...] | None = None
        self._credential: Credential | None = None

    async def get(self, now: float) -> Credential:
        """Return the token that is in the file now; while the file is away, the one that was."""
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp:
                self._credential, self._stamp = _in_file(self._path), stamp
        except OSError as error:
            if self._credential is None:
                raise _unreadable(self._path, error, self._command) from error
        assert self._credential is not None
        return _unexpired(self._credential, now, f"the token in {self._path}", self._command)


def read_token_file(path: Path, now: float) -> Credential:
    """Return the token that is in a file.

    Args:
        path: of the file.
        now: seconds since the epoch.

    Raises:
        ConfigError: it can't be read, or holds no token.
        AdmissionRefused: the token has expired.
    """
    try:
        return _unexpired(_in_file(path), now, f"the token in {path}", "")
    except OSError as error:
        raise _unreadable(path, error, "") from error


def _in_file(path: Path) -> Credential:
    with os.fdopen(open_regular(path), "rb") as stream:
        text = stream.read(MAX_TOKEN_BYTES + 2).strip()
    if not text or len(text) > MAX_TOKEN_BYTES or not text.isascii() or len(text.split()) > 1:
        raise ConfigError("no token in it", source=str(path), hint="write one token and nothing else")
    token = text.decode()
    return Credential(token, expiry_of(token))


def _unreadable(path: Path, error: OSError, command: str) -> ConfigError:
    issue = f"{command or command_for()} --out {shlex.quote(path.name)}"
    hint = f"put one there, issued where the authority is: {issue}"
    return ConfigError(f"can't be read: {why(error)}", source=str(path), hint=hint)


def _unexpired(credential: Credential, now: float, what: str, command: str) -> Credential:
    if credential.expires_at is not None and now >= credential.expires_at:
        raise AdmissionRefused(f"{what} has expired", hint=f"get a new one: {command or command_for()}")
    return credential


class ClientCredentials:
    """Ask a token server by client credentials (RFC 6749, 4.4), and again before the token ends."""

    def __init__(self, admission: Admission, plain_hosts: Sequence[str] = ()) -> None:
        """Take the server and who to be there.

        Raises:
            ConfigError: the URL can't be asked, may not be without TLS, or httpx isn't installed.
        """
        check_url(admission.token_url, plain_hosts, what="token server")
        self._admission = admission
        self._asking = asyncio.Lock()
        self._credential: Credential | None = None
        self._renew_at: float | None = None

    async def get(self, now: float) -> Credential:
        """Return a token of the server; one request at a time, however many ask."""
        async with self._asking:
            old = self._credential
            if old is not None and self._renew_at is not None and now < self._renew_at:
                return old
            try:
                self._credential = await self._asked(now)
            except ConnectError:
                if old is None or old.expires_at is None or now >= old.expires_at:
                    raise
                self._renew_at = now + RETRY_S
                return old
            ends = self._credential.expires_at
            self._renew_at = None if ends is None else renew_at(now, ends)
            return self._credential

    async def _asked(self, now: float) -> Credential:
        wanted = self._admission
        form = {
            "grant_type": "client_credentials",
            "client_id": wanted.client_id,
            "client_secret": wanted.client_secret,
            "scope": wanted.scope,
            "audience": wanted.audience,
        }
        host = host_of(wanted.token_url)
        try:
            status, document = await fetch(wanted.token_url, {name: value for name, value in form.items() if value})
        except WebError as error:
            raise ConnectError(f"token server {error}", hint="is FAME_ADMISSION_TOKEN_URL right?") from error
        if status != 200:
            raise self._refusal(host, status, document)
        return _credential_from(document, host, now)

    def _refusal(self, host: str, status: int, document: object) -> FameError:
        told = _told(document).replace(self._admission.client_secret or "\0", "***")
        what = f"token server {host} answered HTTP {status}" + (f": {told}" if told else "")
        if status in (400, 401, 403, 422):
            hint = "check FAME_ADMISSION_CLIENT_ID, FAME_ADMISSION_CLIENT_SECRET and the scope asked for"
            return AdmissionRefused(what, hint=hint)
        return ConnectError(what, hint="try again later")


def _credential_from(document: object, host: str, now: float) -> Credential:
    """Read the answer of a token server (RFC 6749, 5.1)."""
    found: Mapping[str, Any] = document if isinstance(document, dict) else {}
    token, kind = found.get("access_token"), found.get("token_type")
    if not isinstance(token, str) or not token or not isinstance(kind, str) or kind.lower() not in ("bearer", "dpop"):
        raise ConnectError(f"token server {host} answered without a bearer token")
    if len(token) > MAX_TOKEN_BYTES or not token.isascii() or not token.isprintable() or " " in token:
        raise ConnectError(f"token server {host} answered with a token that no handshake can carry")
    life_s, ends = number(found.get("expires_in")), expiry_of(token)
    known = [each for each in (ends, None if life_s is None else now + life_s) if each is not None]
    return Credential(token, min(known) if known else None)


def _told(document: object) -> str:
    """Return what a server says is wrong: RFC 6749, 5.2, or the same within FastAPI's `detail`."""
    found = document.get("detail", document) if isinstance(document, dict) else None
    if isinstance(found, str):
        return _short(found)
    if isinstance(found, dict):
        parts = [found.get("error"), found.get("error_description")]
        return _short(": ".join(part for part in parts if isinstance(part, str) and part))
    return ""


def _short(text: str) -> str:
    return "".join(each for each in " ".join(text.split()) if each.isprintable())[:_TOLD_CHARACTERS]


@dataclass(slots=True)
class SelfIssued:
    """Issue oneself what the config says, where the authority is in one's own home.

    Args:
        authority: returns the fabric's, which may have another key by the time a token is renewed.
        grant: what the node may do; its thumbprint binds the token to the node's key.
        ttl_s: seconds each token lives.
        fabric: `aud`; "" for the authority's own.
    """

    authority: Callable[[], Authority | None] = field(repr=False)
    grant: Grant
    ttl_s: float = SELF_ISSUED_TTL_S
    fabric: str = ""
    _credential: Credential | None = field(default=None, repr=False)
    _renew_at: float = 0.0

    async def get(self, now: float) -> Credential:
        """Return a token, a new one when the last is nearly used up."""
        if self._credential is None or now >= self._renew_at:
            authority = self.authority()
            if authority is None:
                hint = "put authority.json back, or give the node a token: fame token issue"
                raise AdmissionRefused("the key of the authority isn't in this home any more", hint=hint)
            token = authority.issue(self.grant, now, self.ttl_s, self.fabric)
            self._credential = Credential(token, expiry_of(token))
            self._renew_at = now + USED_SHARE * self.ttl_s
        return self._credential


def source_of(admission: Admission, plain_hosts: Sequence[str] = (), command: str = "") -> CredentialSource | None:
    """Return where the config says that tokens come from; None where it says nothing.

    Args:
        plain_hosts: hosts besides loopback that are asked by ``http://``.
        command: what issues a token for this node, for whoever has to do so; "" where that isn't known.

    Raises:
        ConfigError: as `ClientCredentials`.
    """
    if admission.token:
        return StaticToken(admission.token, command)
    if admission.token_file is not None:
        return TokenFile(admission.token_file, command)
    if admission.token_url:
        return ClientCredentials(admission, plain_hosts)
    return None
