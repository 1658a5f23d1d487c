"""The sentinels and their links as text for a terminal, as a mermaid diagram, and for graphviz.

Pure. Ids come from other nodes and are escaped for the language they are written in.
"""

from collections import defaultdict
from collections.abc import Iterator

from fame_cli.cli.answers import Graph, GraphLink, GraphSentinel
from fame_cli.cli.output import harmless

__all__ = ["as_dot", "as_mermaid", "as_text"]

_PLAIN_IN_LABELS = frozenset(" .,_-/():")


def as_text(graph: Graph) -> list[str]:
    """List each sentinel with its neighbours, the asked one first and then by distance."""
    ends: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for link in graph.links:
        for node in dict.fromkeys((link.a, link.b)):
            ends[node].append((_far(link, node), _told(link)))
    plain: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for each in graph.plain:
        plain[each.at].append((each.node, f"plain Naylence {each.kind}".rstrip()))
    lines: list[str] = []
    for sentinel in _sentinels(graph):
        lines.append(harmless(_heading(sentinel, graph)))
        neighbours = sorted(ends[sentinel.node]) + sorted(plain[sentinel.node])
        width = max((len(harmless(node)) for node, _ in neighbours), default=0)
        lines += [f"  ↔ {harmless(node):<{width}}  {told}" for node, told in neighbours]
    return lines


def as_mermaid(graph: Graph) -> list[str]:
    """Draw it in mermaid's language; half links are dotted, plain Naylence nodes round, the asked sentinel bold."""
    names = _names(graph)
    sentinels = {sentinel.node for sentinel in _sentinels(graph)}
    lines = ["graph LR"]
    for node, name in names.items():
        label = _mermaid_text(node if node in sentinels else f"{node} (plain)")
        lines.append(f'  {name}["{label}"]' if node in sentinels else f'  {name}(["{label}"])')
    for link in graph.links:
        line = "-.-" if link.half else "---"
        lines.append(f'  {names[link.a]} {line}|"{_mermaid_text(_told(link))}"| {names[link.b]}')
    lines += [f"  {names[plain.at]} --- {names[plain.node]}" for plain in graph.plain]
    lines.append(f"  style {names[graph.node]} stroke-width:4px")
    return lines


def as_dot(graph: Graph) -> list[str]:
    """Draw it in graphviz's language; styled as in `as_mermaid`."""
    names = _names(graph)
    sentinels = {sentinel.node for sentinel in _sentinels(graph)}
    lines = ["graph fabric {", "  node [shape=box];"]
    for node, name in names.items():
        label = node if node in sentinels else f"{node} (plain)"
        style = ", style=bold" if node == graph.node else ", shape=ellipse" if node not in sentinels else ""
        lines.append(f'  {name} [label="{_dot_text(label)}"{style}];')
    for link in graph.links:
        style = ", style=dashed" if link.half else ""
        lines.append(f'  {names[link.a]} -- {names[link.b]} [label="{_dot_text(_told(link))}"{style}];')
    lines += [f"  {names[plain.at]} -- {names[plain.node]};" for plain in graph.plain]
    return [*lines, "}"]


def _sentinels(graph: Graph) -> list[GraphSentinel]:
    """Return all sentinels, the asked one first and then by distance; also those that only a link or node speaks of."""
    known = {sentinel.node: sentinel for sentinel in graph.sentinels}
    known.setdefault(graph.node, GraphSentinel(graph.node, hops=0))
    for node in (*(end for link in graph.links for end in (link.a, link.b)), *(plain.at for plain in graph.plain)):
        known.setdefault(node, GraphSentinel(node))
    return sorted(known.values(), key=lambda each: (each.node != graph.node, each.hops is None, each.hops, each.node))


def _heading(sentinel: GraphSentinel, graph: Graph) -> str:
    parts = [f"{sentinel.node} (asked)" if sentinel.node == graph.node else sentinel.node]
    if sentinel.hops is None:
        parts.append("unreachable")
    elif sentinel.node != graph.node:
        parts.append(_counted(sentinel.hops, "hop"))
    parts.append(_counted(sentinel.offers, "offer"))
    return ", ".join(parts)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _far(link: GraphLink, node: str) -> str:
    return link.b if node == link.a else link.a


def _told(link: GraphLink) -> str:
    return f"cost {link.cost}, half (not used)" if link.half else f"cost {link.cost}"


def _names(graph: Graph) -> dict[str, str]:
    """Return node → its name in a diagram: a number, because not every id could stand there."""
    nodes = dict.fromkeys((*(each.node for each in _sentinels(graph)), *_plain(graph)))
    return {node: f"n{number}" for number, node in enumerate(nodes)}


def _plain(graph: Graph) -> Iterator[str]:
    yield from sorted({plain.node for plain in graph.plain})


def _mermaid_text(text: str) -> str:
    """Write what isn't plainly text as ``#34;``, mermaid's own escape."""
    return "".join(c if c.isalnum() or c in _PLAIN_IN_LABELS else f"#{ord(c)};" for c in harmless(text))


def _dot_text(text: str) -> str:
    return harmless(text).replace("\\", "\\\\").replace('"', '\\"')
