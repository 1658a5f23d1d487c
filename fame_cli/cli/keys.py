"""``fame keys``: the fabric's authority and the keys of this machine's nodes, in the home folder.

The work is in ``security.keystore``. Only public keys are ever printed.
"""

import re
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fame_cli.cli import output, tables
from fame_cli.cli.home import home_of, lifetime_s, moment
from fame_cli.cli.options import DebugOption, FormatOption
from fame_cli.cli.output import OutputFormat
from fame_cli.errors import UsageError

if TYPE_CHECKING:
    from fame_cli.security.keystore import Home

__all__ = ["app"]

app = typer.Typer(
    add_completion=False, help="Make, show and change the keys of the fabric and its nodes.", no_args_is_help=True
)

_FABRIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

NodeIdOption = Annotated[
    str | None, typer.Option("--node", metavar="ID", show_default=False, help="The keys of this node.")
]


@app.command()
def init(
    ctx: typer.Context,
    fabric: Annotated[
        str, typer.Option("--fabric", metavar="NAME", help="Name of the fabric; its tokens are good nowhere else.")
    ] = "fame.fabric",
    force: Annotated[bool, typer.Option("--force", help="Replace an authority that is there.")] = False,
    debug: DebugOption = False,
) -> None:
    """Make the authority of a fabric: the key that says which node may do what.

    It is kept in $FAME_HOME, else ~/.config/fame, for you alone.
    """
    if not _FABRIC.fullmatch(fabric):
        raise UsageError(f"--fabric {fabric!r} is no name", hint="use letters, digits, '.', '_', '-'")
    home = home_of(ctx)
    made = home.make_authority(fabric, force=force)
    next_step = (
        "fame token issue --node NAME --role ROLE; for a node of another machine copy authority.pub.json there, "
        "start it once, and add the --thumbprint that it tells"
    )
    output.note(f"{made.fabric} has an authority, key {made.kid} in {home.root}; next: {next_step}")


@app.command()
def show(
    ctx: typer.Context, node: NodeIdOption = None, form: FormatOption = OutputFormat.text, debug: DebugOption = False
) -> None:
    """List the public keys there are: the authority's, and those of the nodes of this machine."""
    home = home_of(ctx)
    now = time.time()
    found = [] if node is not None else _authority_entries(home)
    for node_id in home.nodes() if node is None else [node]:
        found += _node_entries(home, node_id)
    if not found:
        output.note(f"no keys in {home.root}; make the fabric's: fame keys init")
    titles = ["OF", "USE", "KID", "AGE", "UNTIL", "THUMBPRINT"]
    tables.show(titles, [_row(entry, now) for entry in found], [_document(entry, now) for entry in found], form)


def _authority_entries(home: "Home") -> list[dict[str, Any]]:
    authority = home.authority()
    held = None if authority is None else authority.kid
    return [
        {
            "of": f"authority of {home.fabric()}",
            "kind": "authority",
            "private": jwk.get("kid") == held,
            "made_at": jwk.get("iat"),
            "jwk": jwk,
        }
        for jwk in home.authority_keys()
    ]


def _node_entries(home: "Home", node_id: str) -> list[dict[str, Any]]:
    record = home.node(node_id)
    if record is None:
        raise UsageError(f"no keys of {node_id} in {home.root}", hint="see what there is: fame keys show")
    entry = {"of": node_id, "kind": "node"}
    held = [{**entry, "private": True, "made_at": record.made_at, "jwk": jwk} for jwk in record.keys.public_jwks()]
    return held + [{**entry, "private": False, "made_at": None, "jwk": jwk} for jwk in record.retired]


def _row(entry: dict[str, Any], now: float) -> list[object]:
    shown = _document(entry, now)
    age = "" if shown["age_s"] is None else tables.duration(shown["age_s"])
    until = "" if shown["until"] is None else moment(shown["until"])
    return [shown["of"], shown["use"], shown["kid"], age, until, shown["thumbprint"]]


def _document(entry: dict[str, Any], now: float) -> dict[str, Any]:
    from fame_cli.security.jwk import thumbprint  # loaded already

    jwk, made_at = entry["jwk"], entry["made_at"]
    is_signing = jwk.get("use") == "sig"
    return {
        "of": entry["of"],
        "kind": entry["kind"],
        "use": jwk.get("use"),
        "kid": jwk.get("kid"),
        "thumbprint": thumbprint(jwk) if is_signing else None,
        "age_s": None if made_at is None else max(0, round(now - made_at)),
        "until": jwk.get("exp"),
        "private": entry["private"],
        "jwk": jwk,
    }


@app.command()
def rotate(
    ctx: typer.Context,
    authority: Annotated[bool, typer.Option("--authority", help="The fabric's authority.")] = False,
    node: NodeIdOption = None,
    honour: Annotated[
        str | None,
        typer.Option(
            "--honour",
            metavar="TIME",
            show_default=False,
            help="How long the old public key still counts, e.g. 12h, 0s [24h for a node, 30d for the authority].",
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Make a new key; the old public one is honoured until what it signed has expired."""
    from fame_cli.security.authority import LONGEST_TTL_S  # pulls in cryptography
    from fame_cli.security.keystore import NODE_HONOUR_S

    if authority == (node is not None):
        raise UsageError("say whose key: --authority, or --node ID", hint="see: fame keys show")
    usual = LONGEST_TTL_S if node is None else NODE_HONOUR_S
    honour_s = usual if honour is None else lifetime_s(honour, "--honour")
    home = home_of(ctx)
    until = f"the old one counts until {moment(time.time() + honour_s)}"
    if node is None:
        made = home.rotate_authority(honour_s)
        next_step = f"copy {home.root / 'authority.pub.json'} to where tokens are only verified"
        output.note(f"the authority of {made.fabric} has a new key, {made.kid}; {until}; {next_step}")
        return
    keys = home.rotate_node(node, honour_s)
    next_step = (
        f"start {node} again; tokens bound to the old key have to be issued anew: "
        f"fame token issue --node {node} --role ROLE --thumbprint {keys.thumbprint}"
    )
    output.note(f"{node} has a new key, {keys.kid}; {until}; {next_step}")
