"""The life of a link: attaching, namesakes, duplicates, and what the end of a link brings with it."""

import pytest
from core_rig import (
    CLIENT,
    MATH,
    Json,
    Rig,
    Trio,
    ack_of,
    attach_of,
    make_answer,
    make_envelope,
    make_request,
    offer_of,
    types,
)

from fame_cli.core.effects import LinkAttached, LinkRefused
from fame_cli.core.link import Link, LinkKind
from fame_cli.core.session import State
from fame_cli.core.settings import EXTENSIONS


def bind_frame(address: str = MATH) -> Json:
    return make_envelope({"type": "AddressBind", "address": address}, id="b1", corrId="k1", replyTo="__sys__@/s1/a1")


def only_frame(messages: list[Json]) -> dict[str, object]:
    [message] = messages
    frame = message["frame"]
    assert isinstance(frame, dict)
    return frame


def refusals(rig: Rig) -> list[str]:
    """Return the codes with which neighbours that we dialled won't have us."""
    return [effect.code for effect in rig.log if isinstance(effect, LinkRefused)]


# Attach, accepting


def test_an_attach_is_answered_with_everything_the_child_needs() -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "a1")
    rig.feed(link, attach_of("a1", LinkKind.CHILD))
    [ack] = rig.said(link)
    assert ack["corrId"] == "attach-corr"
    assert ack["traceId"] == "t1"
    frame = only_frame([ack])
    epoch = frame.pop("routingEpoch")
    assert isinstance(epoch, str)
    assert len(epoch) == 16
    assert frame == {
        "type": "NodeAttachAck",
        "ok": True,
        "refId": "attach",
        "targetSystemId": "s1",
        "assignedPath": "/s1/a1",
        "targetPhysicalPath": "/s1",
    }
    assert not {"to", "sid", "meta", "replyTo"} & set(ack)
    assert LinkAttached(link) in rig.log


def test_a_peer_is_told_its_own_root_path() -> None:
    rig = Rig()
    link = rig.open(LinkKind.PEER, "s2")
    rig.feed(link, attach_of("s2", LinkKind.PEER))
    assert only_frame(rig.said(link))["assignedPath"] == "/s2"
    assert link.remote_path == "/s2"


def test_every_attach_gets_a_fresh_epoch_because_the_old_bindings_are_gone() -> None:
    rig = Rig()
    first = rig.session(rig.child("a1")).epoch
    assert rig.session(rig.child("a1")).epoch != first


def test_our_extensions_are_offered_only_to_whoever_offers_some() -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "a1")
    rig.feed(link, attach_of("a1", LinkKind.CHILD, ours=True))
    [ack] = rig.said(link)
    assert ack["meta"] == offer_of("instance-of-s1")
    assert link.extensions == frozenset(EXTENSIONS) - {"mesh"}


def test_a_leaf_does_not_offer_to_take_part_in_the_mesh() -> None:
    rig = Rig("c", routes=False)
    link = rig.open(LinkKind.PARENT, dialed=True)
    [attach] = rig.said(link)
    assert attach["meta"] == offer_of("instance-of-c", sentinel=False)
    rig.feed(link, ack_of(attach, "s1", "/s1", "/s1/c", ours=True))
    assert not link.meshes


@pytest.mark.parametrize("kind", [LinkKind.PEER, LinkKind.CHILD])
def test_a_sentinel_of_ours_is_told_at_once_what_we_have(kind: LinkKind) -> None:
    rig = Rig()
    link = rig.open(kind, "s2")
    rig.feed(link, attach_of("s2", kind, ours=True, sentinel=True))
    assert types(rig.said(link)) == ["NodeAttachAck", "MeshSummary"]
    assert "s2" in rig.core.state.mesh.own.links  # type: ignore[union-attr]  # a sentinel has one


@pytest.mark.parametrize(
    ("meta", "extensions"),
    [
        ({}, set()),
        ({"fame.ext": None}, set()),
        ({"fame.ext": "cancel"}, set()),
        ({"fame.ext": {"cancel": 1}}, set()),
        ({"fame.ext": [5, None, ["cancel"], {}]}, set()),
        ({"fame.ext": ["cancel", "teleport", 7]}, {"cancel"}),
    ],
)
def test_odd_offers_count_as_none(meta: Json, extensions: set[str]) -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "a1")
    rig.feed(link, attach_of("a1", LinkKind.CHILD, meta=meta))
    assert rig.session(link).is_open
    assert link.extensions == extensions


@pytest.mark.parametrize(
    ("extensions", "window", "taken"),
    [
        (["window"], 256, 256),
        (["window"], 1, 32),
        (["window"], -(2**62), 32),
        (["window"], 2**62, 65_536),
        (["window"], "256", 32),
        (["window"], 256.5, 32),
        (["window"], None, 32),
        (["cancel"], 256, 32),
    ],
)
def test_a_window_is_taken_within_bounds_and_only_when_negotiated(
    extensions: list[str], window: object, taken: int
) -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "a1")
    rig.feed(link, attach_of("a1", LinkKind.CHILD, meta={"fame.ext": extensions, "fame.window": window}))
    assert rig.session(link).flow.send_window == taken


def test_a_refused_attach_is_answered_and_the_link_closed() -> None:
    rig = Rig()
    link = rig.open(LinkKind.CHILD, "a1")
    rig.feed(link, attach_of("somebody-else", LinkKind.CHILD))
    frame = only_frame(rig.said(link))
    assert (frame["ok"], frame["code"], frame["refId"]) == (False, "INVALID_ATTACH", "attach")
    assert rig.closed() == [(link, 1008, "attach-unauthorized")]
    assert rig.core.sessions() == []


# Namesakes and duplicates, accepting


def test_namesake_children_of_ours_get_distinct_paths() -> None:
    rig = Rig()  # its ids begin alike, as those of nodes that sign do
    first, *others = [rig.child("a1", ours=True, instance=name) for name in ("one", "two", "three")]
    assert first.remote_path == "/s1/a1"
    for other in others:
        assert other.remote_path.startswith("/s1/a1-")
        assert rig.core.table.find(f"x@{other.remote_path}", first) is other
    assert rig.closed() == []


def test_the_same_instance_takes_the_place_of_its_old_link() -> None:
    rig = Rig()
    old = rig.child("a1", ours=True, instance="one")
    new = rig.child("a1", ours=True, instance="one")
    assert rig.closed() == [(old, 1000, "replaced by a newer link")]
    assert new.remote_path == "/s1/a1"


def test_a_namesake_takes_the_place_of_its_own_old_link_too() -> None:
    """Otherwise its address would stay with the dead link for as long as that isn't noticed."""
    rig = Rig()
    rig.child("a1", ours=True, instance="one")
    old = rig.child("a1", ours=True, instance="two")
    rig.bind(old, MATH)
    new = rig.child("a1", ours=True, instance="two")
    assert rig.closed() == [(old, 1000, "replaced by a newer link")]
    rig.feed(new, bind_frame())
    assert only_frame(rig.said(new))["ok"] is True


def test_a_plain_child_takes_the_place_of_whoever_has_its_id() -> None:
    rig = Rig()
    old = rig.child("a1", instance="one")
    new = rig.child("a1", instance="two")
    assert rig.closed() == [(old, 1000, "replaced by a newer link")]
    assert rig.core.table.children == {"a1": new}


@pytest.mark.parametrize("kind", [LinkKind.PEER, LinkKind.CHILD])
def test_a_namesake_sentinel_is_refused(kind: LinkKind) -> None:
    rig = Rig()
    known = rig.peer("s2", ours=True, instance="one")
    link = rig.open(kind, "s2")
    rig.feed(link, attach_of("s2", kind, ours=True, sentinel=True, instance="two"))
    assert only_frame(rig.said(link))["code"] == "ID_TAKEN"
    assert rig.core.table.peers == {"s2": known}
    assert rig.core.table.children == {}


def test_a_namesake_of_a_sentinel_below_us_is_refused() -> None:
    rig = Rig()
    known = rig.child("s2", sentinel=True, instance="one")
    link = rig.open(LinkKind.CHILD, "s2")
    rig.feed(link, attach_of("s2", LinkKind.CHILD, sentinel=True, ours=True, instance="two"))
    assert only_frame(rig.said(link))["code"] == "ID_TAKEN"
    assert rig.core.table.children == {"s2": known}


def test_a_sentinel_of_ours_with_the_id_of_a_plain_peer_is_refused() -> None:
    rig = Rig()
    known = rig.peer("s2", instance="one")
    link = rig.open(LinkKind.PEER, "s2")
    rig.feed(link, attach_of("s2", LinkKind.PEER, ours=True, instance="two"))
    assert only_frame(rig.said(link))["code"] == "ID_TAKEN"
    assert rig.core.table.peers == {"s2": known}


def test_one_sentinel_may_be_a_peer_and_a_child() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    child = rig.child("s2", sentinel=True)
    assert (rig.core.table.peers, rig.core.table.children) == ({"s2": peer}, {"s2": child})
    assert rig.closed() == []


def test_a_sentinel_below_us_that_comes_back_takes_the_place_of_its_old_link() -> None:
    rig = Rig()
    old = rig.child("s2", sentinel=True)
    new = rig.child("s2", sentinel=True)
    assert rig.closed() == [(old, 1000, "replaced by a newer link")]
    assert rig.core.table.children == {"s2": new}


def test_a_peer_that_dials_again_takes_the_place_of_its_old_link() -> None:
    rig = Rig()
    old = rig.peer("s2", ours=True)
    new = rig.peer("s2", ours=True)
    assert rig.closed() == [(old, 1000, "replaced by a newer link")]
    assert rig.core.table.peers == {"s2": new}


def test_of_two_links_the_one_dialled_by_the_smaller_id_stays_when_we_are_the_smaller() -> None:
    rig = Rig("s1")
    ours = rig.dialed_peer("s2", ours=True)
    theirs = rig.open(LinkKind.PEER, "s2")
    rig.feed(theirs, attach_of("s2", LinkKind.PEER, ours=True))
    frame = only_frame(rig.said(theirs))
    assert (frame["code"], frame["targetSystemId"]) == ("DUPLICATE_LINK", "s1")
    assert rig.core.table.peers == {"s2": ours}


def test_the_link_that_stays_is_asked_whether_it_is_alive() -> None:
    """The other side may have lost it without our notice; then the answer that doesn't come ends it."""
    rig = Rig("s1")
    ours = rig.dialed_peer("s2", ours=True)
    rig.said(ours)
    theirs = rig.open(LinkKind.PEER, "s2")
    rig.feed(theirs, attach_of("s2", LinkKind.PEER, ours=True))
    assert types(rig.said(ours)) == ["NodeHeartbeat"]


def test_of_two_links_the_one_dialled_by_the_smaller_id_stays_when_they_are_the_smaller() -> None:
    rig = Rig("s2")
    ours = rig.dialed_peer("s1", ours=True)
    theirs = rig.peer("s1", ours=True)
    assert rig.core.table.peers == {"s1": theirs}
    rig.advance(3)
    assert rig.closed() == [(ours, 1000, "replaced by a newer link")]
    assert rig.core.table.peers == {"s1": theirs}


# A link that is replaced by one the other way round


class Replaced:
    """Be s2 with a client and two links to s1, which serves `MATH`: `old` that we dialled, `new` that replaces it."""

    def __init__(self) -> None:
        self.rig = Rig("s2")
        self.client = self.rig.child("c", ours=True)
        self.old = self.rig.dialed_peer("s1", ours=True)
        self.rig.mesh_offer(self.old, "s1", {"/s1": 1, MATH: 1})
        self.rig.settle()
        self.rig.said(self.old)

    def replace(self) -> None:
        """Have the newer link attach."""
        self.new = self.rig.peer("s1", ours=True)

    def ask(self) -> None:
        """Send a request from the client."""
        self.rig.feed(self.client, make_request("__rpc__x@/s2/c"))

    def wait(self, seconds: float) -> None:
        """Let time pass while both links show signs of life."""
        for _ in range(int(seconds)):
            self.rig.advance(1)
            for link in (self.client, self.old, self.new):
                self.rig.feed(link, make_envelope({"type": "NodeHeartbeat"}))


def test_a_replaced_link_stays_until_the_other_side_knows_of_the_new_one() -> None:
    pair = Replaced()
    pair.replace()
    assert pair.rig.session(pair.old).state is State.DRAINING
    pair.wait(1)
    assert pair.rig.closed() == []
    pair.wait(2)
    assert pair.rig.closed() == [(pair.old, 1000, "replaced by a newer link")]


def test_a_replaced_link_carries_no_new_calls() -> None:
    pair = Replaced()
    pair.replace()
    pair.ask()
    assert types(pair.rig.said(pair.new)) == ["Data"]
    assert pair.rig.said(pair.old) == []


def test_a_replaced_link_still_takes_the_calls_of_the_other_side_and_answers_them_there() -> None:
    pair = Replaced()
    pair.rig.do(pair.rig.core.bind("own@fame.fabric"))
    pair.replace()
    pair.rig.settle()
    pair.rig.said(pair.old)
    pair.rig.said(pair.new)
    pair.rig.feed(pair.old, make_request("__rpc__x@/s1/a1", to="own@fame.fabric"))
    pair.rig.do(pair.rig.core.reply(("__rpc__x@/s1/a1", "c1"), b"7", 0.0))
    assert types(pair.rig.said(pair.old)) == ["Data"]
    assert pair.rig.said(pair.new) == []


def test_the_calls_over_a_replaced_link_are_finished_before_it_is_closed() -> None:
    pair = Replaced()
    pair.ask()
    pair.replace()
    pair.wait(10)
    assert pair.rig.closed() == []
    pair.rig.feed(pair.old, make_answer("__rpc__x@/s2/c", result=7))
    assert "Data" in types(pair.rig.said(pair.client))
    pair.wait(2)
    assert pair.rig.closed() == [(pair.old, 1000, "replaced by a newer link")]


def test_the_end_of_a_replaced_link_takes_nothing_from_the_new_one() -> None:
    pair = Replaced()
    pair.replace()
    pair.wait(3)
    pair.ask()
    assert types(pair.rig.said(pair.new))[-1] == "Data"
    assert pair.rig.core.table.peers == {"s1": pair.new}


def test_a_link_that_replaced_another_can_be_replaced_itself() -> None:
    pair = Replaced()
    pair.replace()
    first = pair.new
    pair.new = pair.rig.peer("s1", ours=True)
    assert pair.rig.closed() == [(first, 1000, "replaced by a newer link")]
    pair.wait(3)
    assert [link for link, _, _ in pair.rig.closed()] == [first, pair.old]


# Attach, dialling


def test_a_dialled_link_attaches_at_once() -> None:
    rig = Rig()
    link = rig.open(LinkKind.PEER, dialed=True)
    [attach] = rig.said(link)
    assert attach["meta"] == offer_of("instance-of-s1")
    assert only_frame([attach]) == {
        "type": "NodeAttach",
        "originType": "peer",
        "systemId": "s1",
        "instanceId": "instance-of-s1",
        "acceptedLogicals": ["*"],
    }
    assert not {"sid", "to", "replyTo"} & set(attach)


def test_a_leaf_takes_the_path_its_sentinel_gives_it() -> None:
    rig = Rig("c", routes=False)
    link = rig.parent("s1", path="/s1/c-ab12", ours=True)
    assert rig.core.table.path == "/s1/c-ab12"
    assert (link.remote_id, link.remote_path, link.instance_id) == ("s1", "/s1", "instance-of-s1")


def test_a_dialled_neighbour_that_offers_extensions_is_one_of_ours() -> None:
    rig = Rig()
    link = rig.dialed_peer("s2", ours=True)
    assert link.extensions == frozenset(EXTENSIONS)
    assert rig.session(link).flow.send_window == 256
    assert not rig.dialed_peer("s3").is_ours


def test_an_answer_to_somebody_elses_attach_is_passed_over() -> None:
    """A Naylence sentinel with two outbound peers crosses its answers (spec 9.1)."""
    rig = Rig()
    link = rig.open(LinkKind.PEER, dialed=True)
    [attach] = rig.said(link)
    rig.feed(link, ack_of(attach | {"corrId": "another"}, "s2", "/s2", None))
    assert not rig.session(link).is_open
    rig.feed(link, ack_of(attach, "s2", "/s2", None))
    assert rig.session(link).is_open


def test_a_refusal_is_handed_on_with_its_code() -> None:
    rig = Rig("c", routes=False)
    link = rig.open(LinkKind.PARENT, dialed=True)
    frame: Json = {"type": "NodeAttachAck", "ok": False, "code": "ID_TAKEN", "reason": "no"}
    rig.feed(link, make_envelope(frame))
    assert LinkRefused(link, "ID_TAKEN", "no") in rig.log
    assert rig.closed() == [(link, 1000, "")]


def test_a_refusal_names_the_sentinel_that_refused() -> None:
    """So whoever dialled it knows which link there is already (`DUPLICATE_LINK`)."""
    rig = Rig("s2")
    link = rig.open(LinkKind.PEER, dialed=True)
    frame: Json = {"type": "NodeAttachAck", "ok": False, "code": "DUPLICATE_LINK", "targetSystemId": "s1"}
    rig.feed(link, make_envelope(frame))
    assert refusals(rig) == ["DUPLICATE_LINK"]
    assert link.remote_id == "s1"


def test_a_refusal_without_code_or_reason_still_says_something() -> None:
    rig = Rig("c", routes=False)
    link = rig.open(LinkKind.PARENT, dialed=True)
    rig.feed(link, make_envelope({"type": "NodeAttachAck", "ok": False}))
    [refused] = [effect for effect in rig.log if isinstance(effect, LinkRefused)]
    assert refused.code == "REFUSED"
    assert refused.reason


@pytest.mark.parametrize(
    "changes",
    [
        {"targetSystemId": None},
        {"targetPhysicalPath": None},
        {"assignedPath": None},
        {"assignedPath": ""},
        {"assignedPath": "no path"},
        {"assignedPath": "/"},
        {"assignedPath": "/s1/a b"},
        {"targetPhysicalPath": "nowhere@all"},
        {"targetSystemId": "a/b"},
    ],
)
def test_an_answer_without_a_usable_path_or_id_is_no_answer(changes: Json) -> None:
    rig = Rig("c", routes=False)
    link = rig.open(LinkKind.PARENT, dialed=True)
    [attach] = rig.said(link)
    ack = ack_of(attach, "s1", "/s1", "/s1/c")
    frame = ack["frame"]
    assert isinstance(frame, dict)
    rig.feed(link, ack | {"frame": {k: v for k, v in (frame | changes).items() if v is not None}})
    assert refusals(rig) == ["INVALID_ACK"]
    assert rig.core.table.path == ""


def test_a_dialled_peer_that_is_linked_already_is_given_up_by_the_greater_id() -> None:
    rig = Rig("s2")
    link = rig.open(LinkKind.PEER, dialed=True)
    [attach] = rig.said(link)
    theirs = rig.peer("s1", ours=True)
    rig.feed(link, ack_of(attach, "s1", "/s1", None, ours=True))
    assert LinkRefused(link, "DUPLICATE_LINK", "s1 is linked already") in rig.log
    assert rig.core.table.peers == {"s1": theirs}


def test_a_dialled_peer_that_is_linked_already_replaces_it_at_the_smaller_id() -> None:
    rig = Rig("s1")
    link = rig.open(LinkKind.PEER, dialed=True)
    [attach] = rig.said(link)
    theirs = rig.peer("s2", ours=True)
    rig.feed(link, ack_of(attach, "s2", "/s2", None, ours=True))
    assert rig.core.table.peers == {"s2": link}
    rig.advance(3)
    assert rig.closed() == [(theirs, 1000, "replaced by a newer link")]
    assert rig.core.table.peers == {"s2": link}


@pytest.mark.parametrize("name", ["s0", "s2"])
def test_a_peer_that_we_dial_twice_keeps_the_newer_link_as_it_does_itself(name: str) -> None:
    """The accepting side closes its older link; refusing the newer one here would leave none."""
    rig = Rig("s1")
    old = rig.dialed_peer(name, ours=True)
    new = rig.dialed_peer(name, ours=True)
    assert rig.closed() == [(old, 1000, "replaced by a newer link")]
    assert rig.core.table.peers == {name: new}


@pytest.mark.parametrize("dialed", [False, True])
def test_a_dialled_sentinel_with_the_id_of_one_that_is_attached_is_given_up(dialed: bool) -> None:
    rig = Rig("s1")
    attach = rig.dialed_peer if dialed else rig.peer
    known = attach("s2", ours=True, instance="one")
    twin = rig.dialed_peer("s2", ours=True, instance="two")
    assert refusals(rig) == ["NAMESAKE"]
    assert rig.closed() == [(twin, 1000, "duplicate link")]
    assert rig.core.table.peers == {"s2": known}


def test_a_plain_peer_that_dialled_us_is_replaced_by_our_link_to_it() -> None:
    """Its answer to our attach names no process, so the newer link counts, as it does on its side (spec 9.1)."""
    rig = Rig("s1")
    old = rig.peer("s2")
    new = rig.dialed_peer("s2")
    assert rig.closed() == [(old, 1000, "replaced by a newer link")]
    assert rig.core.table.peers == {"s2": new}


# Parents


def test_a_plain_parent_is_the_way_to_what_nobody_else_has() -> None:
    rig = Rig()
    parent = rig.parent(path="/s1")
    assert rig.core.table.ways("/") == (parent,)
    rig.do(rig.core.link_closed(parent))
    assert rig.core.table.ways("/") == ()


def test_a_parent_of_ours_is_not_for_it_tells_what_it_has() -> None:
    rig = Rig()
    rig.parent(path="/s1", ours=True)
    assert rig.core.table.ways("/") == ()


def test_the_mesh_is_told_of_a_plain_parent_and_of_a_plain_peer() -> None:
    rig = Rig()
    mesh = rig.core.state.mesh
    assert mesh is not None
    links = rig.parent(path="/s1"), rig.peer("n1")
    assert dict(mesh.own.offers.items()) == {"/s1": 1, "/": 2, "/n1": 2}
    for link in links:
        rig.do(rig.core.link_closed(link))
    assert dict(mesh.own.offers.items()) == {"/s1": 1}


def test_the_mesh_is_told_of_the_path_a_parent_gives() -> None:
    rig = Rig()
    rig.parent(path="/root/s1", ours=True)
    assert rig.core.state.mesh is not None
    assert dict(rig.core.state.mesh.own.offers.items()) == {"/root/s1": 1}


def test_a_leaf_needs_no_way_back_put_into_its_requests() -> None:
    rig = Rig("c", routes=False)
    assert rig.parent("s1", path="/s1/c").reply_prefix == ""
    assert Rig().peer("n1").reply_prefix == "/s1"


def test_children_must_attach_anew_when_the_path_above_them_changes() -> None:
    rig = Rig("s1")
    child = rig.child("a1")
    rig.parent(path="/root/s1")
    assert rig.closed() == [(child, 1000, "the sentinel's path changed")]
    again = rig.child("a1")
    assert again.remote_path == "/root/s1/a1"


def test_children_stay_when_the_path_above_them_does_not_change() -> None:
    rig = Rig("s1")
    rig.parent(path="/root/s1")
    child = rig.child("a1")
    rig.parent(path="/root/s1")
    assert rig.session(child).is_open


# The end of a link


def test_a_closed_link_takes_its_names_and_its_calls_with_it() -> None:
    rig = Rig()
    agent, client = rig.child("a1"), rig.child("c")
    rig.bind(agent, MATH)
    rig.feed(client, make_request("__rpc__x@/s1/c"))
    rig.said(client)
    session = rig.session(agent)
    rig.do(rig.core.link_closed(agent))
    assert session.state is State.CLOSED
    assert rig.core.table.ways(MATH) == ()
    assert only_frame(rig.said(client))["code"] == "LINK_LOST"
    assert rig.noted("link_closed")[0].facts["node"] == "a1"


def test_a_link_that_never_attached_leaves_nothing() -> None:
    rig = Rig()
    link: Link = rig.open(LinkKind.CHILD, "a1")
    rig.do(rig.core.link_closed(link))
    assert rig.core.sessions() == []
    assert rig.core.table.children == {}


def test_the_names_of_a_neighbour_in_the_mesh_are_out_of_use_at_once_when_its_link_is_gone() -> None:
    rig = Rig()
    peer, client = rig.peer("s2", ours=True), rig.child("c", ours=True)
    rig.mesh_offer(peer, "s2", {MATH: 1})
    rig.settle()
    rig.feed(client, make_request(CLIENT))
    assert rig.said(client) == []
    rig.do(rig.core.link_closed(peer))
    assert only_frame(rig.said(client))["code"] == "LINK_LOST"
    rig.feed(client, make_request(CLIENT))
    assert only_frame(rig.said(client))["code"] == "NO_ROUTE"


# What a link costs


def cost_in_record(rig: Rig, name: str) -> int | None:
    mesh = rig.core.state.mesh
    assert mesh is not None
    return mesh.own.links.get(name)


@pytest.mark.parametrize(("theirs", "counts"), [(7, 7), (1, 2), (-3, 2), (10**9, 1_000_000), ("dear", 2), (None, 2)])
def test_the_dearer_opinion_of_a_link_counts(theirs: object, counts: int) -> None:
    rig = Rig()
    link = Link(99, LinkKind.PEER, dialed=True, cost=2)
    rig.do(rig.core.link_opened(link, rig.now))
    [attach] = rig.said(link)
    assert attach["meta"]["fame.cost"] == 2
    ack = ack_of(attach, "s2", "/s2", None, ours=True)
    ack["meta"] = offer_of("instance-of-s2") | {"fame.cost": theirs}
    rig.feed(link, ack)
    assert (link.cost, cost_in_record(rig, "s2")) == (counts, counts)


def test_a_link_refused_as_a_duplicate_leaves_its_cost_to_the_one_that_stays() -> None:
    rig = Rig("s1")
    stays = rig.dialed_peer("s2", ours=True)
    late = rig.open(LinkKind.PEER, "s2")
    attach = attach_of("s2", LinkKind.PEER, ours=True)
    attach["meta"] = offer_of("instance-of-s2") | {"fame.cost": 7}
    rig.feed(late, attach)
    assert only_frame(rig.said(late))["code"] == "DUPLICATE_LINK"
    assert (stays.cost, cost_in_record(rig, "s2")) == (7, 7)


def test_whose_link_is_refused_as_a_duplicate_keeps_its_opinion_of_the_cost() -> None:
    rig = Rig("s2")
    stays = rig.peer("s1", ours=True)
    late = Link(99, LinkKind.PEER, dialed=True, cost=5)
    rig.do(rig.core.link_opened(late, rig.now))
    [attach] = rig.said(late)
    frame = {"type": "NodeAttachAck", "ok": False, "code": "DUPLICATE_LINK", "targetSystemId": "s1"}
    rig.feed(late, make_envelope(frame, corrId=attach["corrId"]))
    assert (stays.cost, cost_in_record(rig, "s1")) == (5, 5)


def test_a_link_that_takes_the_place_of_another_is_as_dear_as_the_dearer() -> None:
    rig = Rig("s1")
    first = rig.peer("s2", ours=True)
    first.cost = 9
    late = rig.dialed_peer("s2", ours=True)
    assert late.cost == 9


# Upstreams in a circle


def test_a_parent_below_its_own_child_is_refused() -> None:
    rig = Rig("s1")
    link = rig.open(LinkKind.PARENT, dialed=True)
    [attach] = rig.said(link)
    rig.feed(link, ack_of(attach, "s2", "/s1/s2", "/s1/s2/s1", ours=True))
    [refusal] = [effect for effect in rig.log if isinstance(effect, LinkRefused)]
    assert refusal.code == "UPSTREAM_CYCLE"
    assert rig.core.table.path == "/s1"
    assert rig.core.table.parent is None


def test_a_leaf_may_be_called_like_a_sentinel_above_it() -> None:
    rig = Rig("s1", routes=False)
    rig.parent("s2", path="/s1/s2/s1", ours=True)
    assert rig.core.table.path == "/s1/s2/s1"


def test_a_second_link_to_a_sentinel_takes_nothing_away_from_the_first() -> None:
    rig = Rig("s1")
    peer = rig.peer("s2", ours=True)
    rig.child("s2", sentinel=True)
    mesh = rig.core.state.mesh
    assert mesh is not None
    assert mesh.links["s2"] is peer
    assert rig.session(peer).is_open


# An id whose holder is gone


@pytest.mark.parametrize("kind", [LinkKind.PEER, LinkKind.CHILD])
def test_a_sentinel_that_is_back_before_its_end_was_noticed_gets_its_id_at_the_second_try(kind: LinkKind) -> None:
    rig = Rig()
    ghost = rig.peer("s2", ours=True) if kind is LinkKind.PEER else rig.child("s2", sentinel=True)
    for moment, code in ((0.0, "ID_TAKEN"), (0.5, "ID_TAKEN"), (1.5, None)):
        rig.now = moment
        link = rig.open(kind, "s2")
        rig.feed(link, attach_of("s2", kind, ours=True, sentinel=True, instance="another life"))
        [ack] = [message for message in rig.said(link) if "NodeAttachAck" in str(message["frame"])]
        assert only_frame([ack]).get("code") == code
    assert types(rig.said(ghost))[-1] == "NodeHeartbeat"
    assert (ghost, 1000) in [(closed, code) for closed, code, _ in rig.closed()]
    assert rig.session(link).is_open


def test_a_sentinel_that_answers_keeps_its_id() -> None:
    rig = Rig()
    alive = rig.peer("s2", ours=True)
    for moment in (0.0, 2.0, 4.0):
        rig.now = moment
        link = rig.open(LinkKind.PEER, "s2")
        rig.feed(link, attach_of("s2", LinkKind.PEER, ours=True, instance="namesake"))
        assert only_frame(rig.said(link))["code"] == "ID_TAKEN"
        rig.now = moment + 0.1
        rig.feed(alive, make_envelope({"type": "NodeHeartbeatAck", "ok": True}))
    assert rig.session(alive).is_open


def test_what_waits_for_a_link_that_ends_makes_room_for_others() -> None:
    trio = Trio()
    trio.rig.do(trio.rig.core.link_stalled(trio.agent))
    trio.ask()
    budget = trio.rig.core.state.budget
    assert budget.held_bytes > 100
    trio.rig.do(trio.rig.core.link_closed(trio.agent))
    assert budget.held_bytes == 0
