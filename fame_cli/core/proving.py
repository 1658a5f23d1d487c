"""What a sentinel signs of what it says of itself, and how the others check it: no node can speak for another.

Pure functions over `NodeState`; they do nothing where the gate doesn't sign. A sentinel signs that it lives (id,
instance, incarnation) and, apart from that, what its set of links and its set of offers are at their versions. Whoever
hands a record on can leave news out, as he could by being silent, but can't add, drop or change anything.
"""

from collections.abc import Callable

from fame_cli.core.frames import MeshDelta, MeshRecord
from fame_cli.core.record import Mesh, Record
from fame_cli.core.section import Proof
from fame_cli.core.state import NodeState

__all__ = ["is_alive", "proof_of", "sign_own", "sums"]


def sums(state: NodeState) -> int | None:
    """Return what the sum of an empty set is: None where nobody signs, and none are kept."""
    return 0 if state.gate.signs else None


def _life(node_id: str, instance: str, incarnation: int) -> bytes:
    return f"fame-life\x1f{node_id}\x1f{instance}\x1f{incarnation}".encode()


def _set(node_id: str, instance: str, incarnation: int, name: str, version: int, digest: str) -> bytes:
    return f"fame-set\x1f{node_id}\x1f{instance}\x1f{incarnation}\x1f{name}\x1f{version}\x1f{digest}".encode()


def sign_own(state: NodeState, mesh: Mesh) -> None:
    """Sign what has changed in this sentinel's own record."""
    own = mesh.own
    if not state.gate.signs:
        return
    own.kid, own.signature = state.gate.sign_record(_life(own.node_id, own.instance, own.incarnation))
    for name, section in (("links", own.links), ("offers", own.offers)):
        statement = _set(own.node_id, own.instance, own.incarnation, name, section.version, section.digest())
        section.signature = state.gate.sign_record(statement)[1]


def is_alive(state: NodeState, message: MeshRecord, known: Record | None) -> bool:
    """Tell whether the sentinel a record is of has said so itself."""
    if not state.gate.signs:
        return True
    life = message.incarnation, message.instance
    if known is not None and known.life == life and (known.kid, known.signature) == (message.kid, message.sig):
        return True
    statement = _life(message.id, message.instance, message.incarnation)
    return state.gate.check_record(message.id, message.kid, statement, message.sig) is None


def proof_of(state: NodeState, message: MeshRecord, name: str) -> Proof | None:
    """Return what checks a changed set of a record; None where nobody signs.

    Args:
        name: links or offers.
    """
    if not state.gate.signs:
        return None
    check: Callable[[str, str, bytes, str], object] = state.gate.check_record

    def proof(delta: MeshDelta, digest: str) -> bool:
        statement = _set(message.id, message.instance, message.incarnation, name, delta.version, digest)
        return check(message.id, message.kid, statement, delta.sig) is None

    return proof
