"""`fame graph`: one topology in each language, and ids that could break out of it."""

import json
import re

import pytest
from fame_runner import Fame

from fame_cli.cli.answers import Graph, GraphLink, GraphPlain, GraphSentinel
from fame_cli.cli.drawing import as_dot, as_mermaid, as_text

EVIL = 'a"]; b[label="<x> \\" #`]\n\x1b'


def test_text_lists_each_sentinel_with_its_neighbours(fame: Fame) -> None:
    result = fame("graph")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "s1 (asked), 2 offers\n"
        "  ↔ s2   cost 1\n"
        "  ↔ s3   cost 5, half (not used)\n"
        "  ↔ old  plain Naylence peer\n"
        "s2, 1 hop, 0 offers\n"
        "  ↔ s1  cost 1\n"
        "  ↔ s3  cost 1\n"
        "s3, 2 hops, 1 offer\n"
        "  ↔ s1  cost 5, half (not used)\n"
        "  ↔ s2  cost 1\n"
        "s9, unreachable, 1 offer\n"
    )


def test_mermaid_numbers_the_nodes_and_labels_them(fame: Fame) -> None:
    assert fame("graph", "-o", "mermaid").stdout == (
        "graph LR\n"
        '  n0["s1"]\n'
        '  n1["s2"]\n'
        '  n2["s3"]\n'
        '  n3["s9"]\n'
        '  n4(["old (plain)"])\n'
        '  n0 ---|"cost 1"| n1\n'
        '  n0 -.-|"cost 5, half (not used)"| n2\n'
        '  n1 ---|"cost 1"| n2\n'
        "  n0 --- n4\n"
        "  style n0 stroke-width:4px\n"
    )


def test_dot_is_an_undirected_graph(fame: Fame) -> None:
    assert fame("graph", "-o", "dot").stdout == (
        "graph fabric {\n"
        "  node [shape=box];\n"
        '  n0 [label="s1", style=bold];\n'
        '  n1 [label="s2"];\n'
        '  n2 [label="s3"];\n'
        '  n3 [label="s9"];\n'
        '  n4 [label="old (plain)", shape=ellipse];\n'
        '  n0 -- n1 [label="cost 1"];\n'
        '  n0 -- n2 [label="cost 5, half (not used)", style=dashed];\n'
        '  n1 -- n2 [label="cost 1"];\n'
        "  n0 -- n4;\n"
        "}\n"
    )


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_json_is_the_answer(fame: Fame, form: str) -> None:
    text = fame("graph", "-o", form).stdout
    assert json.loads(text) == fame.client.answers["fabric.graph"]
    assert text.count("\n") == 1 or form == "json"


def test_another_sentinel_is_asked_for_what_it_sees(fame: Fame) -> None:
    fame("graph", "--at", "s2")
    assert fame.client.asked == ["attached fabric.graph", "/s2 fabric.graph"]


def test_an_unknown_format_lists_those_there_are(fame: Fame) -> None:
    result = fame("graph", "-o", "svg")
    assert result.exit_code == 2
    assert "'text', 'mermaid', 'dot', 'json', 'ndjson'" in result.stderr


def test_a_sentinel_alone_is_a_graph() -> None:
    alone = Graph("s1")
    assert as_text(alone) == ["s1 (asked), 0 offers"]
    assert as_mermaid(alone) == ["graph LR", '  n0["s1"]', "  style n0 stroke-width:4px"]


def test_sentinels_that_only_a_link_or_a_plain_node_speaks_of_are_drawn_as_well() -> None:
    graph = Graph("s1", [GraphSentinel("s1", hops=0)], [GraphLink("s1", "s5", half=True)], [GraphPlain("old", "s6")])
    assert as_text(graph)[2:] == [
        "s5, unreachable, 0 offers",
        "  ↔ s1  cost 1, half (not used)",
        "s6, unreachable, 0 offers",
        "  ↔ old  plain Naylence",
    ]
    assert as_dot(graph)[-2] == "  n2 -- n3;"


def test_a_plain_node_at_two_sentinels_is_drawn_once_with_two_links() -> None:
    graph = Graph("s1", [GraphSentinel("s2", hops=1)], plain=[GraphPlain("old", "s1"), GraphPlain("old", "s2")])
    assert as_dot(graph)[-4:] == ['  n2 [label="old (plain)", shape=ellipse];', "  n0 -- n2;", "  n1 -- n2;", "}"]


EVIL_GRAPH = Graph(EVIL, [GraphSentinel(EVIL, hops=0)], [GraphLink(EVIL, "b")], [GraphPlain(EVIL + "2", EVIL)])


def test_an_id_cannot_break_out_of_its_label_in_mermaid() -> None:
    lines = as_mermaid(EVIL_GRAPH)
    assert [line.count('"') for line in lines] == [0, 2, 2, 2, 2, 0, 0]
    assert set("<>`\\\n\x1b").isdisjoint("".join(lines))
    assert lines[1].startswith('  n0["a#34;#93;#59; b#91;label#61;#34;#60;x#62;')


def test_an_id_cannot_break_out_of_its_label_in_dot() -> None:
    for line in as_dot(EVIL_GRAPH):
        outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", line)
        assert re.fullmatch(r"[\w \[\]=,;{}-]*", outside), line


def test_an_id_is_harmless_in_text() -> None:
    assert all(line.isprintable() for line in as_text(EVIL_GRAPH))
