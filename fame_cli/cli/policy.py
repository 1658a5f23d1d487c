"""``fame policy``: check a policy file, and ask it what it makes of somebody's wish, without a node.

The deciding is done by `security.policy`, exactly as a sentinel does it; here words become facts and the answer becomes
text. Findings are one line each, ``FILE:LINE:COLUMN: what; what to do``.
"""

import json
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from fame_cli.cli import output
from fame_cli.cli.options import ConfigOption, DebugOption, FormatOption, NodeOption, invocation_of
from fame_cli.cli.output import OutputFormat
from fame_cli.cli.policy_walk import show, walk
from fame_cli.core.envelope import Envelope
from fame_cli.core.frames import Data
from fame_cli.errors import ConfigError, PolicyDenied, UsageError
from fame_cli.security.policy import ACTIONS, ALLOW, DENY, FRAMES, Facts, Policy, word_among

__all__ = ["app"]

app = typer.Typer(add_completion=False, help="Check policy files, and ask them why.", no_args_is_help=True)


class Origin(StrEnum):
    """Name where something comes from (``--origin``)."""

    downstream = "downstream"
    upstream = "upstream"
    peer = "peer"
    local = "local"


class Level(StrEnum):
    """Name how a payload is hidden (``--encrypted``)."""

    plaintext = "plaintext"
    channel = "channel"
    sealed = "sealed"


class Role(StrEnum):
    """Name what a grant lets a node be (``--role``)."""

    agent = "agent"
    client = "client"
    peer = "peer"
    admin = "admin"


FileArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="FILE",
        show_default=False,
        help="A policy file; else $FAME_AUTH_POLICY_PATH, or what --config says.",
    ),
]


@app.command()
def check(
    ctx: typer.Context,
    file: FileArgument = None,
    form: FormatOption = OutputFormat.text,
    config: ConfigOption = None,
    node: NodeOption = None,
    debug: DebugOption = False,
) -> None:
    """Check a policy file; list what is wrong and exit 3 if anything is.

    A rule that never matches because one before it takes everything, and
    actions that nobody may do, are worth a warning and no more.
    """
    from fame_cli.config.policy_file import load_policy  # pulls in pydantic
    from fame_cli.config.validate import findings

    path = _path(ctx, file, config, node)
    try:
        policy = load_policy(path, waits=True)
    except ConfigError as failure:
        if debug:
            raise
        _show_findings(path, findings(failure), form)
        raise typer.Exit(failure.exit_code) from failure
    if form is OutputFormat.text:
        for warning in _warnings(policy, path):
            output.diagnostic([(warning, "")])
        output.data(f"{path}: ok, {_counts(policy)}")
    else:
        output.result(_summary(policy, path), form)


def _path(ctx: typer.Context, file: str | None, config: str | None, node: str | None) -> Path:
    from fame_cli.config.policy_file import policy_path  # pulls in pydantic

    found = policy_path(file, config, invocation_of(ctx).environment(), node)
    if found is None:
        raise UsageError("no policy file", hint="name one, set FAME_AUTH_POLICY_PATH, or give a --config with one")
    return found


def _show_findings(path: Path, lines: list[str], form: OutputFormat) -> None:
    if form is OutputFormat.text:
        for line in lines:
            output.diagnostic([(line, "")])
    else:
        output.result({"file": str(path), "ok": False, "errors": lines}, form)


def _counts(policy: Policy) -> str:
    count = len(policy.rules)
    allowing = sum(rule.effect == ALLOW for rule in policy.rules)
    default = ALLOW if policy.default_allows else DENY
    return f"{count} rule{'' if count == 1 else 's'} ({allowing} allow, {count - allowing} deny), default {default}"


def _warnings(policy: Policy, path: Path) -> list[str]:
    found = [
        f"{path}:{lost.line}: warning: rule {lost.id} never matches, because {first.id} (line {first.line}) takes "
        "everything it would; move it up, or remove it"
        for lost, first in policy.unreachable()
    ]
    never = policy.never_allowed()
    if never:
        found.append(f"{path}: warning: nobody may {', '.join(never)}; add rules that allow what is needed")
    return found


def _summary(policy: Policy, path: Path) -> dict[str, Any]:
    return {
        "file": str(path),
        "ok": True,
        "rules": len(policy.rules),
        "allow": sum(rule.effect == ALLOW for rule in policy.rules),
        "deny": sum(rule.effect == DENY for rule in policy.rules),
        "default_effect": ALLOW if policy.default_allows else DENY,
        "unreachable": [
            {"rule": lost.id, "line": lost.line, "because_of": first.id} for lost, first in policy.unreachable()
        ],
        "never_allowed": policy.never_allowed(),
    }


@app.command()
def why(
    ctx: typer.Context,
    file: FileArgument = None,
    sender: Annotated[str, typer.Option("--from", metavar="NODE", help="Id of the neighbour that wants it.")] = "",
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="Address it is about.")] = "",
    action: Annotated[
        str | None,
        typer.Option(
            "--action", show_default=False, help=f"That alone: {', '.join(ACTIONS)} [all that a call to --to needs]."
        ),
    ] = None,
    role: Annotated[list[Role] | None, typer.Option("--role", show_default=False, help="Role of its grant.")] = None,
    scope: Annotated[list[str] | None, typer.Option("--scope", show_default=False, help="Scope of its token.")] = None,
    claims: Annotated[str, typer.Option("--claims", metavar="OBJECT", help="Claims of its token, as JSON.")] = "{}",
    subject: Annotated[str | None, typer.Option("--subject", show_default=False, help="Else `sub`, or --from.")] = None,
    origin: Annotated[Origin, typer.Option("--origin", help="Where it comes from.")] = Origin.downstream,
    frame: Annotated[str | None, typer.Option("--frame", show_default=False, help="Type of its frame.")] = None,
    signed: Annotated[bool, typer.Option("--signed", help="Its signature has been verified.")] = False,
    encrypted: Annotated[Level, typer.Option("--encrypted", help="How its payload is hidden.")] = Level.plaintext,
    at: Annotated[str, typer.Option("--at", metavar="NODE", help="Id of the node that decides.")] = "",
    form: FormatOption = OutputFormat.text,
    config: ConfigOption = None,
    node: NodeOption = None,
    debug: DebugOption = False,
) -> None:
    """Say which rule decides about somebody's wish, and why; exit 0 if it may be, 4 if not.

    Without --action the wish is a call to --to: whether its neighbour is let
    in, then whether the call may go to an agent that is attached there. The
    first that denies is shown, and what would be answered otherwise if the
    agent were elsewhere.

    fame policy why policy.yaml --from client1 --to math2@fame.fabric --role client
    fame policy why policy.yaml --from math1 --to math1@fame.fabric --action bind --role agent
    """
    from fame_cli.config.policy_file import load_policy  # pulls in pydantic

    path = _path(ctx, file, config, node)
    policy = load_policy(path, waits=True)
    meant = "" if action is None else _action(action)
    held = _claims(claims)
    facts = Facts(
        meant,
        address=to,
        origin_type=origin.value,
        frame_type=_frame(frame, meant),
        node=sender,
        subject=str(held.get("sub", sender)) if subject is None else subject,
        roles=frozenset(each.value for each in role or ()),
        scopes=frozenset([*_scopes(held), *(scope or ())]),
        claims=held,
        envelope=Envelope(to=to or None, frame=Data()),
        signed=signed,
        encrypted=encrypted.value,
        own_id=at,
        own_path=f"/{at}" if at else "",
        now=time.time(),
    )
    if not show(walk(policy, facts), policy, path, form):
        raise typer.Exit(PolicyDenied.exit_code)


def _action(given: str) -> str:
    found = word_among(given, ACTIONS)
    if not found:
        raise UsageError(f"--action {given}: unknown", hint=f"use {', '.join(ACTIONS)}")
    return found


def _claims(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError("--claims isn't JSON", hint="""write it like --claims '{"team": "a"}'""") from error
    if not isinstance(found, dict):
        raise UsageError("--claims isn't a JSON object", hint="""write it like --claims '{"team": "a"}'""")
    return found


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    """Return the scopes that claims hold, as texts or lists of them (security.md 1.2)."""
    found: list[str] = []
    for name in ("scope", "scopes", "scp"):
        value = claims.get(name, [])
        found += value.split() if isinstance(value, str) else [str(each) for each in value] if value else []
    return found


def _frame(given: str | None, action: str) -> str:
    from fame_cli.config.policy_file import FRAME_TYPES  # as above

    if given is None:
        return FRAMES.get(action, "Data")
    found = word_among(given, FRAME_TYPES)
    if not found:
        raise UsageError(f"--frame {given}: unknown", hint=f"use {', '.join(FRAME_TYPES)}")
    return found
