"""``fame token``: issue tokens of the fabric's authority, look at one, take one back.

``issue`` prints the token alone on stdout, so that it can go through a pipe; what it says goes to stderr.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fame_cli.cli import output, tables
from fame_cli.cli.home import home_of, lifetime_s, moment
from fame_cli.cli.options import DebugOption, FormatOption
from fame_cli.cli.output import OutputFormat
from fame_cli.core.address import is_node_id
from fame_cli.core.grant import AGENT, CLIENT, PEER, ROLES, Grant
from fame_cli.errors import ConfigError, UsageError
from fame_cli.security.files import PRIVATE, write_file

if TYPE_CHECKING:
    from fame_cli.security.jose import Opened
    from fame_cli.security.keystore import Home

__all__ = ["app"]

app = typer.Typer(
    add_completion=False, help="Issue, show and take back tokens of the fabric's authority.", no_args_is_help=True
)

_SKEW_S = 60.0
_TIMES = ("iat", "nbf", "exp")

NodeArgument = Annotated[
    str,
    typer.Option("--node", metavar="ID", show_default=False, help="Id of the node; a pattern if it isn't bound here."),
]
PatternsOption = list[str] | None


@app.command()
def issue(
    ctx: typer.Context,
    node: NodeArgument,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE", show_default=False, help="agent, client, peer or admin [client]."),
    ] = None,
    address: Annotated[
        PatternsOption,
        typer.Option("--address", metavar="PATTERN", show_default=False, help="Addresses an agent may bind."),
    ] = None,
    capability: Annotated[
        PatternsOption,
        typer.Option("--capability", metavar="PATTERN", show_default=False, help="Capabilities it may offer [**]."),
    ] = None,
    prefix: Annotated[
        PatternsOption,
        typer.Option("--prefix", metavar="PATTERN", show_default=False, help="Addresses a peer may announce [**]."),
    ] = None,
    ttl: Annotated[
        str, typer.Option("--ttl", metavar="TIME", help="How long it is good: a number and s, m, h or d, 30d at most.")
    ] = "12h",
    no_bind: Annotated[bool, typer.Option("--no-bind", help="Good without the key of the node.")] = False,
    thumbprint: Annotated[
        str | None,
        typer.Option("--thumbprint", metavar="JKT", show_default=False, help="Bind it to this key (fame keys show)."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", show_default=False, help="Write it there, for you alone [stdout]."),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Issue a token for a node, bound to the node's key in the home folder.

    The key of a node on another machine isn't there: --thumbprint names it.

    fame token issue --node math1 --role agent --address 'math1@fame.fabric' --out math1.jwt
    fame token issue --node s2 --role peer --ttl 7d --thumbprint JKT --out s2.jwt
    """
    grant = _grant(node, role or [CLIENT], address or [], capability, prefix)
    ttl_s = _life_s(ttl)
    home = home_of(ctx)
    authority = home.authority()
    if authority is None:
        raise UsageError(f"no authority in {home.root}", hint="make one: fame keys init")
    bound = _binding(home, node, no_bind, thumbprint)
    now = time.time()
    token = authority.issue(replace(grant, thumbprint=bound), now, ttl_s)
    if bound and thumbprint is None:
        bound += f", which is in {home.root / 'keys'} (of a node elsewhere: --thumbprint)"
    said = _said_of(grant, bound, authority.fabric, now + ttl_s, _token_id(token))
    if out is None:
        output.note(said)
        output.data(token)
        output.flush()
        return
    write_file(out, f"{token}\n".encode(), PRIVATE)
    output.note(f"{said}; written to {out}")


def _life_s(ttl: str) -> float:
    from fame_cli.security.authority import LONGEST_TTL_S  # pulls in cryptography

    ttl_s = lifetime_s(ttl, "--ttl")
    if not 1 <= ttl_s <= LONGEST_TTL_S:
        hint = f"write --ttl 1s to --ttl {LONGEST_TTL_S / 86_400:g}d"
        raise UsageError(f"a token can't live for {ttl!r}", hint=hint)
    return ttl_s


def _grant(
    node: str, roles: Sequence[str], addresses: Sequence[str], capabilities: PatternsOption, prefixes: PatternsOption
) -> Grant:
    """Return what the options say, with what is usual where they say nothing."""
    for role in roles:
        if role not in ROLES:
            raise UsageError(f"--role {role!r} is none", hint=f"use {', '.join(ROLES)}")
    if AGENT in roles and not addresses:
        raise UsageError("an agent needs an address to bind", hint=f"add e.g. --address {node}@fame.fabric")
    if AGENT not in roles and (addresses or capabilities):
        raise UsageError("only an agent binds addresses and offers capabilities", hint="add --role agent")
    if PEER not in roles and prefixes:
        raise UsageError("only a peer announces addresses", hint="add --role peer")
    offered = capabilities or (["**"] if AGENT in roles else [])
    announced = prefixes or (["**"] if PEER in roles else [])
    return Grant(node, node, frozenset(roles), tuple(addresses), tuple(offered), tuple(announced))


def _binding(home: "Home", node: str, no_bind: bool, thumbprint: str | None) -> str:
    """Return the thumbprint a token is bound to, "" for none."""
    if thumbprint is not None:
        if no_bind:
            raise UsageError("--thumbprint and --no-bind exclude each other", hint="give one of them")
        if len(thumbprint) != 43 or not thumbprint.replace("-", "").replace("_", "").isalnum():
            raise UsageError("--thumbprint is none", hint="see it on the node's machine: fame keys show --node ID")
        return thumbprint
    if no_bind:
        return ""
    if not is_node_id(node):
        raise UsageError(f"--node {node!r} is no node id", hint="a pattern needs --no-bind or --thumbprint")
    return home.node_keys(node).thumbprint


def _token_id(token: str) -> str:
    from fame_cli.security.jose import open_compact  # loaded already

    return str(open_compact(token).claims["jti"])


def _said_of(grant: Grant, bound: str, fabric: str, until: float, token_id: str) -> str:
    parts = [f"{grant.subject} is {' and '.join(sorted(grant.roles))} of {fabric} until {moment(until)}"]
    parts += [f"binds {', '.join(grant.addresses)}"] if grant.addresses else []
    parts += [f"announces {', '.join(grant.prefixes)}"] if grant.prefixes else []
    parts.append(f"bound to key {bound}" if bound else "good without a key")
    return "; ".join([*parts, f"id {token_id}"])


@app.command()
def show(
    ctx: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", show_default=False, help="A file with a token; - reads stdin.")
    ],
    form: FormatOption = OutputFormat.text,
    debug: DebugOption = False,
) -> None:
    """Show what a token says, and whether it is good for the fabric whose keys are here."""
    token = _read(file)
    opened = _opened(token, file)
    why = _why_not(home_of(ctx), token)
    if form is not OutputFormat.text:
        found = {"header": dict(opened.header), "claims": dict(opened.claims), "verifies": not why, "why": why or None}
        output.result(found, form)
        return
    for line in tables.lines_of(["CLAIM", "VALUE"], [[name, _shown(name, value)] for name, value in _facts(opened)]):
        output.data(line)
    output.data(f"verifies here: {f'no, {why}' if why else 'yes'}")
    output.flush()


def _facts(opened: "Opened") -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = [(name, opened.header[name]) for name in ("alg", "kid") if name in opened.header]
    for name, value in opened.claims.items():
        inner = value.items() if isinstance(value, dict) else None
        facts += [(name, value)] if inner is None else [(f"{name}.{key}", each) for key, each in inner]
    return facts


def _shown(name: str, value: object) -> object:
    return moment(value) if name in _TIMES and isinstance(value, int | float) else value


def _why_not(home: "Home", token: str) -> str:
    """Return why a token isn't good here, "" if it is."""
    from fame_cli.security.tokens import TokenRefused, TokenVerifier  # pulls in joserfc

    verifier = TokenVerifier([], home.authority_keys, home.fabric(), _SKEW_S, revoked=home.revoked)
    try:
        verifier.verify(token, time.time())
    except TokenRefused as refused:
        return refused.reason
    return ""


@app.command()
def revoke(
    ctx: typer.Context,
    token: Annotated[
        str,
        typer.Argument(metavar="JTI|FILE", show_default=False, help="Id of a token, or a file with it; - is stdin."),
    ],
    debug: DebugOption = False,
) -> None:
    """Take a token back: sentinels with this home folder refuse it from the next second on."""
    claims: Mapping[str, Any] = {"jti": token}
    if token == "-" or Path(token).is_file():
        claims = _opened(_read(token), token).claims
    token_id = claims.get("jti")
    if not isinstance(token_id, str) or not 0 < len(token_id) <= 256 or not token_id.isprintable():
        raise UsageError("this token has no id to take it back by", hint="it ends by itself: fame token show FILE")
    home = home_of(ctx)
    from fame_cli.security.jose import number  # pulls in joserfc

    home.revoke(token_id, number(claims.get("exp")))
    output.note(f"{token_id} is taken back, in {home.root / 'revoked.json'}")


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read(65_536).strip()
    try:
        with Path(file).open(encoding="utf-8", errors="replace") as stream:
            return stream.read(65_536).strip()
    except OSError as error:
        raise ConfigError(f"can't be read: {(error.strerror or '').lower()}", source=file) from error


def _opened(token: str, file: str) -> "Opened":
    from fame_cli.security.jose import TokenRefused, open_compact  # pulls in joserfc

    try:
        return open_compact(token)
    except TokenRefused as refused:
        raise ConfigError(f"not a token: {refused.reason}", source="stdin" if file == "-" else file) from refused
