"""Which flow of a link an envelope, a call's answers or a grant of credit belong to.

Flows have the names their senders choose, and a stream's is its `corrId`, which its caller chooses. Between nodes of
ours a stream's own flow therefore goes by the names of its call, (`replyTo`, `corrId`), which no two calls have at a
time, so that nobody's stream meets another's flow. Plain links know `flowId` alone (spec 7).
"""

from fame_cli.core.calls import CallKey
from fame_cli.core.envelope import Envelope
from fame_cli.core.flow import Flow
from fame_cli.core.frames import CreditUpdate
from fame_cli.core.link import Link

__all__ = ["WINDOW", "flow_of", "flow_of_credit", "flow_of_stream"]

WINDOW = "window"
"""The extension of links whose streams have flows of their own."""


def flow_of(link: Link, envelope: Envelope) -> Flow | None:
    """Return the flow an envelope costs credit of on a link, None for what is in none."""
    flow_id = envelope.flow_id
    if flow_id is None or flow_id != envelope.corr_id or WINDOW not in link.extensions:
        return flow_id
    return envelope.to or "", flow_id


def flow_of_stream(link: Link, key: CallKey) -> Flow:
    """Return the flow of a stream's answers on a link."""
    return key if WINDOW in link.extensions else key[1]


def flow_of_credit(link: Link, envelope: Envelope, grant: CreditUpdate) -> Flow:
    """Return the flow a neighbour grants credit of."""
    if grant.flow_id != envelope.corr_id or WINDOW not in link.extensions:
        return grant.flow_id
    return envelope.reply_to or "", grant.flow_id
