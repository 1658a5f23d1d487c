"""From the `fame.trace` list of a reply to the path it took and the time each hop cost.

Pure. A traced request collects one stamp at each of our nodes, ``ID;KIND;T_US``; the agent stamps it on arrival and
again when it answers, and the nodes on the way back go on with the same list (docs/wire-extensions.md). Clocks of
different nodes are unrelated, so only the difference between two stamps of one node means anything:

    time of the link A-B, both ways = (A_reply - A_request) - (B_reply - B_request)

Nodes that don't know the extension pass the list on without a stamp. That is never an error: what can't
be read is left out, and times are only claimed between nodes that stamped both ways.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Hop", "Node", "Path", "Step", "links_passed", "read_path", "read_steps"]

_ARROWS = {"child": " → ", "peer": " ↔ ", "parent": " → ", "local": " → "}
"""How a stretch of the path is drawn, by the kind of the link the request came in by."""


@dataclass(frozen=True, slots=True)
class Node:
    """Hold one node of a path.

    Args:
        name: node id, the name the caller gave one of the ends, or "?" for a node known only by its absence.
        arrow: how the request came in, as the path is drawn: `` → `` or `` ↔ ``; "" for the first node.
        span_us: microseconds between request and reply on this node's own clock; None if it didn't stamp both.
    """

    name: str
    arrow: str
    span_us: int | None


@dataclass(frozen=True, slots=True)
class Hop:
    """Hold the time between two neighbouring nodes that stamped both ways.

    Args:
        label: the stretch of the path, e.g. ``peer-sentinel1 ↔ peer-sentinel2``.
        time_us: microseconds on the link or links, both ways, with the work of passing on at either end; >= 0.
    """

    label: str
    time_us: int


@dataclass(frozen=True, slots=True)
class Path:
    """Hold what one trace tells: the nodes in the order of the request, and where the time went.

    Args:
        nodes: from the client to the agent.
        hops: one for each pair of measured neighbours; together with `agent_us` they add up to the round trip.
        agent_us: microseconds between arrival at the agent and its answer; None if the agent didn't stamp.
    """

    nodes: tuple[Node, ...]
    hops: tuple[Hop, ...]
    agent_us: int | None

    def __str__(self) -> str:
        return "".join(node.arrow + node.name for node in self.nodes)


@dataclass(frozen=True, slots=True)
class Step:
    """Hold one step of a call and its answer, in the order they were taken.

    Args:
        way: ``there``, ``in`` the provider, or ``back``.
        sender: node id. receiver: node id; "" for the provider's own step.
        link: what the sender is to the receiver: ``child``, ``peer`` or ``parent``; "" for the provider's own step.
        time_us: microseconds in the provider, or, on the way back, on the link in both directions with the work of
            passing on at either end; None where no clock tells. Those there are add up to the round trip.
        sum_us: microseconds between request and answer on the receiver's own clock; None where it has no two stamps.
    """

    way: str
    sender: str
    receiver: str
    link: str = ""
    time_us: int | None = None
    sum_us: int | None = None


@dataclass(frozen=True, slots=True)
class _Stamp:
    node: str
    kind: str
    at_us: int


def read_path(
    trace: Sequence[object], *, round_trip_us: int, client: str = "client", attached_to: str = "", agent: str = ""
) -> Path:
    """Read the path of one request and its reply.

    Args:
        trace: the list as it came with the reply; entries that aren't stamps are skipped.
        round_trip_us: microseconds between sending the request and having the reply, on the caller's clock.
        client: name of the caller's end.
        attached_to: node id of the sentinel the caller is attached to, "" if unknown; it shows even if it didn't stamp.
        agent: name for the far end when it stamped, "" to show its node id.
    """
    stamps = _read_stamps(trace)
    turn = _turn(stamps)
    request, reply = stamps[:turn], stamps[turn:]
    nodes = [Node(client, "", round_trip_us)]
    if attached_to and (not request or request[0].node != attached_to):
        nodes.append(Node(attached_to, _ARROWS["child"], None))
    elif request and request[0].kind not in ("child", "local"):  # a caller attaches as a child: somebody is missing
        nodes.append(Node("?", _ARROWS["child"], None))
    nodes.extend(_nodes_on_the_way(request, reply))
    answered = bool(reply) and reply[0].kind == "local"
    if answered and agent:
        far = nodes[-1]
        nodes[-1] = Node(agent, far.arrow, far.span_us)
    measured = tuple(_hops(nodes))
    return Path(tuple(nodes), measured, nodes[-1].span_us if answered else None)


def read_steps(trace: Sequence[object], *, round_trip_us: int, client: str = "client") -> tuple[Step, ...]:
    """Read every step of a call that was answered; () if the provider made no stamps, as those of other makes do.

    Args:
        trace: the list as it came with the reply; entries that aren't stamps are skipped.
        round_trip_us: microseconds between sending the request and having the reply, on the caller's clock.
        client: name of the caller's end.
    """
    stamps = _read_stamps(trace)
    turn = _turn(stamps)
    request = [stamp for stamp in stamps[:turn] if stamp.kind != "local"]
    reply = stamps[turn:]
    if not request or not reply:
        return ()
    first = client if request[0].kind == "child" else "?"  # a caller attaches as a child: somebody didn't stamp
    senders = [first, *(stamp.node for stamp in request)]
    steps = [Step("there", sender, stamp.node, stamp.kind) for sender, stamp in zip(senders, request, strict=False)]
    asked = {stamp.node: stamp.at_us for stamp in reversed(request)}
    measured = _since(reply[0], asked) or 0
    steps.append(Step("in", reply[0].node, "", time_us=measured, sum_us=measured))
    ends = [(stamp, _since(stamp, asked)) for stamp in reply[1:]]
    ends.append((_Stamp(client, "parent" if first == client else "", 0), round_trip_us))
    for before, (stamp, since) in zip(reply, ends, strict=True):
        time = None if since is None else max(0, since - measured)
        measured = max(measured, since or 0)
        steps.append(Step("back", before.node if stamp.kind else "?", stamp.node, stamp.kind, time, since))
    return tuple(steps)


def _since(stamp: _Stamp, asked: Mapping[str, int]) -> int | None:
    """Return the time from a node's first stamp to this one of its own; None if it has no such, or went backwards."""
    since = stamp.at_us - asked.get(stamp.node, stamp.at_us + 1)
    return since if since >= 0 else None


def links_passed(trace: Sequence[object]) -> int:
    """Count the links an envelope has passed, as far as nodes stamped it: a reply's count begins at the agent."""
    stamps = _read_stamps(trace)
    turn = _turn(stamps)
    return len(stamps) - turn if turn < len(stamps) else len(stamps)


def _read_stamps(trace: Sequence[object]) -> list[_Stamp]:
    return [stamp for entry in trace if (stamp := _read_stamp(entry)) is not None]


def _read_stamp(entry: object) -> _Stamp | None:
    if not isinstance(entry, str):
        return None
    node, _, rest = entry.partition(";")
    kind, _, at = rest.partition(";")
    if not node or kind not in _ARROWS or not at.isascii() or not at.isdigit() or len(at) > 18:
        return None
    return _Stamp(node, kind, int(at))


def _turn(stamps: Sequence[_Stamp]) -> int:
    """Return the index of the stamp the agent made when it answered; the length if it made none."""
    for index in range(len(stamps) - 1, 0, -1):
        if stamps[index].kind == "local" and stamps[index].node == stamps[index - 1].node:
            return index
    return len(stamps)


def _nodes_on_the_way(request: Sequence[_Stamp], reply: Sequence[_Stamp]) -> Iterator[Node]:
    back = {stamp.node: stamp.at_us for stamp in reply}
    seen: set[str] = set()
    for stamp in request:
        if stamp.node in seen:
            continue
        seen.add(stamp.node)
        span = back.get(stamp.node, -1) - stamp.at_us
        yield Node(stamp.node, _ARROWS[stamp.kind], span if span >= 0 else None)


def _hops(nodes: Sequence[Node]) -> Iterator[Hop]:
    """Yield the stretches between measured nodes; unmeasured ones between them stay inside the label."""
    measured = [index for index, node in enumerate(nodes) if node.span_us is not None]
    for near, far in pairwise(measured):
        label = nodes[near].name + "".join(node.arrow + node.name for node in nodes[near + 1 : far + 1])
        yield Hop(label, max(0, (nodes[near].span_us or 0) - (nodes[far].span_us or 0)))
