"""The gate of profile ``gated``: credentials are looked at where a link begins, and held against all that follows.

Asked by the core, without I/O; the time comes from a clock, in seconds since the epoch.
"""

from collections.abc import Callable

from fame_cli.core.address import parse
from fame_cli.core.calls import read_request
from fame_cli.core.envelope import CARRIED, Envelope
from fame_cli.core.frames import Data, NodeAttach
from fame_cli.core.gate import ADMIN_ONLY, Action, Gate, Refusal, Verdict
from fame_cli.core.grant import ADMIN, CLIENT, PEER, Grant
from fame_cli.core.ids import sid_of
from fame_cli.core.link import LOCAL, Link, LinkKind
from fame_cli.core.settings import Settings
from fame_cli.security.judging import Judge, way_of

__all__ = ["NO_ADMIN", "GrantGate", "below", "is_answer"]

NO_ADMIN = Refusal("UNAUTHORIZED", "that is for admins; show a token that says so: fame token issue --role admin …")
"""Said to who asks for what is `ADMIN_ONLY`."""


def below(path: str, above: str) -> bool:
    """Tell whether a physical path is another one or lies under it."""
    return path == above or path.startswith(f"{above}/")


class GrantGate(Gate):
    """Hold every neighbour to its grant.

    Args:
        clock: the time.
        granted: returns what a token allows, None when it isn't to be believed.
        judge: asks the policy; None where there is none.
    """

    checks = True

    def __init__(
        self, clock: Callable[[], float], granted: Callable[[str], Grant | None], judge: Judge | None = None
    ) -> None:
        self._clock = clock
        self._granted = granted
        self._judge = judge
        self.rules = judge is not None

    def admit(self, attach: NodeAttach, link: Link, own: Settings) -> Refusal | None:
        """Check that a credential allows the id and the kind of link."""
        refusal = super().admit(attach, link, own)
        if refusal is not None:
            return refusal
        grant = link.grant
        if grant is None:
            return Refusal("UNAUTHORIZED", "no credential")
        if not grant.may_attach_as(attach.system_id):
            why = f"the credential isn't for {attach.system_id}; set FAME_NODE_ID as it says: {grant.node[:128]}"
            return Refusal("UNAUTHORIZED", why)
        if (link.kind is LinkKind.PEER or link.meshes) and not grant.may_be(PEER):
            return Refusal("UNAUTHORIZED", "the credential isn't for a peer; issue one with --role peer")
        if not grant.roles:
            return Refusal("UNAUTHORIZED", "the credential allows nothing")
        if self._judge is None:
            return None
        self._judge.own_id = own.node_id
        refusal = self._judge("connect", link, "")
        if refusal is None and link.kind is LinkKind.PEER:
            refusal = self._judge("attach_peer", link, "")
        return refusal

    def is_same(self, one: Link, other: Link) -> bool:
        """Compare who holds the credentials.

        A neighbour that we dialled shows none: it is known by its process, which is no secret. Whoever takes its place
        needs a credential in the very name of that id besides.
        """
        if one.grant is not None and other.grant is not None:
            return _holder(one.grant) == _holder(other.grant)
        shown = one.grant or other.grant
        same = (one.remote_id, one.instance_id) == (other.remote_id, other.instance_id)
        return same and (shown is None or shown.subject == other.remote_id)

    def renewed(self, link: Link, token: str) -> tuple[Grant, float] | None:
        """Take a later credential of the same holder, that still allows the link to be what it is."""
        grant, old = self._granted(token), link.grant
        if grant is None or old is None or _holder(grant) != _holder(old):
            return None
        if not grant.may_attach_as(link.remote_id) or (link.kind is LinkKind.PEER and not grant.may_be(PEER)):
            return None
        return grant, float("inf") if grant.expires_at is None else grant.expires_at - self._clock()

    def may(self, action: Action, link: Link, name: str) -> Refusal | None:
        """Ask the grant; what a sentinel that we dialled says of its own is taken."""
        grant = link.grant
        if grant is not None and action != "key":
            refusal = self._grants(grant, action, name)
            if refusal is not None:
                return refusal
        if self._judge is None or link.kind is LinkKind.LOCAL:
            return None
        return self._judge(action, link, "" if action == "key" else name.rpartition(" ")[2])

    def _grants(self, grant: Grant, action: Action, name: str) -> Refusal | None:
        capability, _, address = name.rpartition(" ")
        allowed = grant.may_announce(address)
        if action == "bind":
            allowed = allowed or grant.may_bind(address)
        elif action == "advertise":
            allowed = allowed or grant.may_advertise(capability, address)
        return None if allowed else Refusal("UNAUTHORIZED", f"{grant.subject} may not {action} {name[:128]}")

    def passes(self, link: Link, target: Link, envelope: Envelope) -> Refusal | None:
        """Ask the policy about what comes from a neighbour."""
        if self._judge is None or link is LOCAL:
            return None
        return self._judge(way_of(target, envelope), link, envelope.to or "", envelope, self._signed_by(envelope))

    def may_mend(self, link: Link, envelope: Envelope) -> Refusal | None:
        """Ask the policy; that an admin asks has been seen to where the request came in (`verify`)."""
        if self._judge is None:
            return None
        return self._judge("mail", link, envelope.to or "", envelope, self._signed_by(envelope))

    def _signed_by(self, envelope: Envelope) -> Grant | None:
        """Return the grant of whoever has signed an envelope, None if that isn't known."""
        return None

    def may_offer(self, node_id: str, kid: str, name: str, link: Link) -> bool:
        """Hold a neighbour to its own grant; what it says that others offer isn't proved in this profile."""
        if name.startswith("/") or link.grant is None or link.remote_id != node_id:
            return True
        return link.grant.may_announce(name.rpartition(" ")[2])

    def moved(self, path: str) -> None:
        """Let the rules know where this node is."""
        if self._judge is not None:
            self._judge.own_path = path

    def verify(self, link: Link, envelope: Envelope) -> Verdict:
        """Check that a child speaks for itself: its own reply address, its own `sid`, and only what it may ask.

        Sentinels of ours are believed to have done so for what they pass on.
        """
        to = envelope.to
        if to is not None and to.startswith("__sys__@") and _asks_admins(envelope) and not _vouches(link):
            return NO_ADMIN
        if not link.is_leaf or not isinstance(envelope.frame, CARRIED):
            return None
        if envelope.reply_to:
            path = parse(envelope.reply_to).path
            if path and not below(path, link.remote_path):
                return Refusal("UNAUTHORIZED", "the reply address is somebody else's")
            if not path and link.grant is not None and not link.grant.may_bind(envelope.reply_to):
                return Refusal("UNAUTHORIZED", "the reply address is somebody else's")
        grant = link.grant
        if grant is None or grant.may_be(PEER):
            return None
        if envelope.sid is not None and envelope.sid != sid_of(link.remote_path):
            return Refusal("UNAUTHORIZED", "the sender's digest is somebody else's")
        return self._may_ask(grant, envelope)

    def _may_ask(self, grant: Grant, envelope: Envelope) -> Refusal | None:
        if isinstance(envelope.frame, Data) and not is_answer(envelope) and not grant.roles & {CLIENT, ADMIN, PEER}:
            why = f"{grant.subject} may answer, but not call; issue its token with --role client besides"
            return Refusal("UNAUTHORIZED", why)
        return None


def is_answer(envelope: Envelope) -> bool:
    """Tell an answer from what asks for one: by the address it goes to, because `rtype` isn't signed."""
    return (envelope.to or "").startswith("__rpc__")


def _vouches(link: Link) -> bool:
    """Tell whether what a neighbour asks is an admin's: it is one, or has made sure itself."""
    if link.is_ours and not link.is_leaf:
        return True
    return link.grant is not None and link.grant.may_be(ADMIN)


def _asks_admins(envelope: Envelope) -> bool:
    """Tell whether an envelope to a node itself asks for what is `ADMIN_ONLY`."""
    request = read_request(envelope.frame.payload) if isinstance(envelope.frame, Data) else None
    return request is not None and request.method in ADMIN_ONLY


def _holder(grant: Grant) -> tuple[str, str, str]:
    return grant.issuer, grant.subject, grant.thumbprint
