"""Links that are made again whenever they are lost: what ``node/dialing.py`` does, on virtual time.

Each step of it stands here in the same order, so that a world shows what dialling again, back-off, refused duplicates
and changed ids do to the routes.
"""

from collections.abc import Generator
from dataclasses import dataclass

from fame_cli.core.link import Link, LinkKind
from fame_cli.net.backoff import delays
from fame_cli.testing.simnode import SimNode, Steps

__all__ = ["Dial", "keep_linked"]

DUPLICATE_RETRY_S = 5.0
"""Seconds until a node dials again where a peer says that there is a link which it doesn't know of."""


@dataclass(slots=True, eq=False)
class Dial:
    """Say who dials whom, as a config does.

    Args:
        kind: what the listener is to the dialer.
        link: the one that is being made or in use.
        content: True while there is no need to dial.
    """

    dialer: SimNode
    listener: SimNode
    kind: LinkKind
    cost: int = 1
    link: Link | None = None
    content: bool = False


def keep_linked(dialer: SimNode, listener: SimNode, kind: LinkKind = LinkKind.PEER, cost: int = 1) -> Dial:
    """Hold a link between two nodes in all lives of either, however often it breaks."""
    dial = Dial(dialer, listener, kind, cost)
    dialer.world.accustom(dialer, lambda: _steps(dial))
    return dial


def _steps(dial: Dial) -> Steps:
    node, random = dial.dialer, dial.dialer.world.random
    wait = delays(random.random)
    while True:
        dial.content = False
        refused = yield from _attach(dial)
        if refused is None:
            wait, dial.content = delays(random.random), True
            while dial.link in node.wires:
                yield None
            if dial.kind is LinkKind.PEER and dial.link is not None:
                yield from _while_linked(dial, dial.link.remote_id)
        elif refused in ("ID_TAKEN", "DUPLICATE_LINK"):
            yield from _settled(dial, refused)
            wait = delays(random.random)
        dial.content = False
        yield next(wait)


def _attach(dial: Dial) -> Generator[float | None, None, str | None]:
    """Dial once; the value in the end is None when the link is open, else the code of the refusal."""
    node = dial.dialer
    if not node.world.reaches(node, dial.listener):
        return "CONNECTION_LOST"
    dial.link, _ = node.world.join(node, dial.listener, dial.kind, dial.cost)
    while dial.link in node.wires:
        if any(session.link is dial.link and session.is_open for session in node.core.sessions()):
            return None
        yield None
    refusal = node.refusals.get(dial.link)
    return refusal.code if refusal is not None else "CONNECTION_LOST"


def _settled(dial: Dial, code: str) -> Steps:
    """React to a refusal that says more than no."""
    node, remote_id = dial.dialer, dial.link.remote_id if dial.link is not None else ""
    if code == "ID_TAKEN":
        node.perform(node.core.rename(f"{node.name}-{node.world.fresh_id()[:4]}"))
        return
    if remote_id not in node.core.table.peers:  # the other side still holds a link that we have lost
        yield DUPLICATE_RETRY_S
    yield from _while_linked(dial, remote_id)


def _while_linked(dial: Dial, remote_id: str) -> Steps:
    dial.content = True
    while remote_id in dial.dialer.core.table.peers:
        yield None
