"""Traces: kept only where they were asked for, text only, bounded."""

import pytest
from core_rig import CLIENT, Trio, make_request

from fame_cli.core.envelope import Envelope
from fame_cli.core.frames import Data
from fame_cli.core.link import LOCAL, Link, LinkKind
from fame_cli.core.trace import MAX_TRACE, extended, trace_of, traced


@pytest.mark.parametrize(
    "meta", [None, {}, {"other": 1}, {"fame.trace": None}, {"fame.trace": "x"}, {"fame.trace": {}}]
)
def test_what_holds_no_list_holds_no_trace(meta: dict[str, object] | None) -> None:
    assert trace_of(meta) is None


def test_an_empty_trace_is_one() -> None:
    assert trace_of({"fame.trace": []}) == []


def test_only_text_is_kept_of_a_trace() -> None:
    assert trace_of({"fame.trace": [1, "s1;child;1", None, ["x"]]}) == ["s1;child;1"]


@pytest.mark.parametrize("kind", LinkKind)
def test_an_entry_names_the_node_the_kind_of_link_and_the_microseconds(kind: LinkKind) -> None:
    assert extended("s1", ["a"], Link(1, kind), 1.5) == ["a", f"s1;{kind.value};1500000"]


def test_a_trace_is_not_changed_in_place() -> None:
    entries: list[str] = []
    extended("s1", entries, LOCAL, 0.0)
    assert entries == []


def test_a_trace_at_its_bound_stays_as_it_is() -> None:
    entries = ["x"] * (MAX_TRACE - 1)
    full = extended("s1", entries, LOCAL, 0.0)
    assert len(full) == MAX_TRACE
    assert extended("s2", full, LOCAL, 0.0) == full


def test_the_rest_of_the_meta_is_kept() -> None:
    envelope = Envelope(id="e", meta={"fame.trace": [], "other": 1}, frame=Data())
    assert traced("s1", envelope, LOCAL, 0.0).meta == {"fame.trace": ["s1;local;0"], "other": 1}
    assert envelope.meta == {"fame.trace": [], "other": 1}


def test_a_trace_is_begun_where_there_is_none() -> None:
    assert traced("s1", Envelope(frame=Data()), LOCAL, 0.0).meta == {"fame.trace": ["s1;local;0"]}


def test_a_traced_request_says_by_what_kind_of_link_it_came() -> None:
    trio = Trio()
    trio.rig.now = 1.5
    [request] = trio.ask(meta={"fame.trace": [], "other": 1})
    assert request["meta"] == {"fame.trace": ["s1;child;1500000"], "other": 1}
    assert {k: v for k, v in request.items() if k != "meta"} == make_request(CLIENT, ttl=15)


@pytest.mark.parametrize("trace", [None, 5, "x", {"a": 1}, [5, None, ["x"]]])
def test_an_odd_trace_is_begun_anew(trace: object) -> None:
    trio = Trio()
    [request] = trio.ask(meta={"fame.trace": trace})
    assert request["meta"] == {"fame.trace": ["s1;child;0"]}


def test_a_trace_grows_to_its_bound_and_no_further() -> None:
    trio = Trio()
    [request] = trio.ask(meta={"fame.trace": [f"n{number};peer;1" for number in range(64)]})
    meta = request["meta"]
    assert isinstance(meta, dict)
    assert len(meta["fame.trace"]) == 64
    assert "s1;child;0" not in meta["fame.trace"]
