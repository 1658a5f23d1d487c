"""Real cores joined back to back, as in ``mesh_rig.py``, behind the gates of a profile, with grants of one authority.

A grant's token is ``token-of-<label>``, and its id besides if it has one; the authority is a dict of them. Time
is the rig's, from `BIRTH` on.
"""

import json
from functools import partial
from itertools import count

from core_rig import STAMP
from mesh_rig import MeshRig

from fame_cli.core.gate import Gate
from fame_cli.core.glob import ANYTHING
from fame_cli.core.grant import AGENT, CLIENT, PEER, Grant
from fame_cli.core.ids import time_digits
from fame_cli.core.node import NodeCore
from fame_cli.core.settings import Settings
from fame_cli.security.certificates import chain_to_x5c
from fame_cli.security.gated import GrantGate
from fame_cli.security.issuing import CertificateAuthority
from fame_cli.security.jwk import NodeKeys, generate
from fame_cli.security.overlay import KeyGate, Means
from fame_cli.security.strict import StrictGate

BIRTH = 1_767_225_600.0
"""Seconds since the epoch at which `STAMP` says that a rig begins."""


class SecureRig(MeshRig):
    """Hold some nodes of one profile.

    Args:
        profile: gated, overlay or strict-overlay.
        bare: labels of nodes whose keys nobody proves, like Naylence's.
        uncertified: labels of nodes without certificates.

    Attributes:
        revoked: ids of tokens that are taken back, as every node knows at once.
        ahead_s: label → by how much that node's clock is ahead of the others'.
    """

    def __init__(
        self, *names: str, profile: str = "overlay", bare: tuple[str, ...] = (), uncertified: tuple[str, ...] = ()
    ) -> None:
        self.profile = profile
        self.bare = bare
        self.uncertified = uncertified
        self.authority = CertificateAuthority.create("a", BIRTH)
        self.keys: dict[str, NodeKeys] = {}
        self.grants: dict[str, Grant] = {}
        self.gates: dict[str, Gate] = {}
        self.revoked: set[str] = set()
        self._issued: dict[str, Grant] = {}
        self.ahead_s: dict[str, float] = {}
        self._serial = count(1)
        super().__init__(*names)

    @property
    def clock(self) -> float:
        """The time of the day."""
        return BIRTH + self.now

    def allow(self, label: str, *, node: str = "", **how: object) -> Grant:
        """Grant a node something; a later grant of the same label replaces it."""
        keys = self.keys.setdefault(label, generate())
        thumbprint = "" if label in self.bare else keys.thumbprint
        facts: dict[str, object] = {"roles": frozenset({AGENT, CLIENT}), "addresses": (ANYTHING,)}
        facts |= {"capabilities": (ANYTHING,)} | how
        grant = Grant(label, node=node or label, thumbprint=thumbprint, issuer="us", **facts)  # type: ignore[arg-type]
        self.grants[label] = grant
        self._issued[self._token_of(label) if grant.token_id else ""] = grant
        return grant

    def make_core(self, label: str, settings: Settings) -> NodeCore:
        """Make a core behind a gate; who routes is a peer that may announce everything unless told otherwise."""
        if label not in self.grants:
            roles = {"roles": frozenset({PEER}), "prefixes": (ANYTHING,)} if settings.routes else {}
            self.allow(label, node=settings.node_id, **roles)
        gate = self.gates[label] = self.make_gate(label)
        return NodeCore(settings, partial(self.fresh_id, label), lambda: STAMP, gate)

    def make_gate(self, label: str) -> Gate:
        """Make the gate of a node."""
        if self.profile == "open":
            return Gate()
        if self.profile == "gated":
            return GrantGate(partial(self.clock_of, label), self.prove)
        token = "" if label in self.bare else self._token_of(label)
        means = Means(
            partial(self.clock_of, label), self.keys[label], token, self.prove, 60.0, revoked=self.revoked.__contains__
        )
        if self.profile == "overlay":
            return KeyGate(means)
        certify = self.certify if label not in self.uncertified else (lambda label, path: [])
        return StrictGate(means, certify=partial(certify, label), anchors=(self.authority.certificate,))

    def certify(self, label: str, path: str) -> list[str]:
        """Issue a node's certificate."""
        public = self.keys[label].signing.public_key()
        return chain_to_x5c(self.authority.issue(path.rpartition("/")[2], path, public, self.clock))

    def prove(self, token: str) -> Grant | None:
        """Be the authority."""
        grant = self._issued.get(token) or self.grants.get(token.removeprefix("token-of-"))
        return None if grant is None or grant.token_id in self.revoked else grant

    def _token_of(self, label: str) -> str:
        token_id = self.grants[label].token_id
        return f"token-of-{label} {token_id}" if token_id else f"token-of-{label}"

    def clock_of(self, label: str) -> float:
        """Return the time of the day as a node knows it."""
        return self.clock + self.ahead_s.get(label, 0.0)

    def fresh_id(self, label: str = "") -> str:
        """Return an id that tells the time, as a node knows it."""
        return f"{time_digits(int(self.clock_of(label) * 1000))}{next(self._serial):09}"

    def grant_of(self, label: str) -> Grant | None:
        """Return the grant a node shows."""
        return self.grants.get(label)

    def answer(self, label: str) -> None:
        """Answer the last request of an agent with null, and let things settle."""
        request = self[label].requests()[-1]
        assert request.key is not None
        self.do(self[label], self[label].core.reply(request.key, b"7", self.now))
        self.run()


def tampering(rig: SecureRig, source: str, target: str, change: dict[str, object]) -> None:
    """Have the payloads of Data envelopes between two nodes changed on the way."""
    deliver = rig[target].core.receive

    def receive(link: object, data: bytes, now: float) -> object:
        envelope = json.loads(data)
        if envelope["frame"]["type"] == "Data" and rig[target].ends[link][0].label == source:  # type: ignore[index]
            envelope["frame"]["payload"] |= change
        return deliver(link, json.dumps(envelope).encode(), now)  # type: ignore[arg-type]

    rig[target].core.receive = receive  # type: ignore[method-assign,assignment]
