"""What a sentinel tells of itself and of the fabric: the rows of docs/wire-extensions.md, exactly."""

from core_rig import MATH, Json, Rig, make_envelope
from mesh_rig import PARENT, MeshRig, record_of, update_of, whole

from fame_cli.core import report
from fame_cli.core.link import LinkKind
from fame_cli.core.report import Row
from fame_cli.core.session import Event, fire

MATH2, POOL = "math2@fame.fabric", "math@*.pool.fabric"


def advertise(rig: Rig, child: object, *capabilities: str, address: str = MATH) -> None:
    frame: Json = {"type": "CapabilityAdvertise", "capabilities": list(capabilities), "address": address}
    rig.feed(child, make_envelope(frame))  # type: ignore[arg-type]  # a link


def fabric() -> MeshRig:
    """Make a chain of three sentinels: an agent at the first, and one at the last that was there 4 s later."""
    mesh = MeshRig("s1", "s2", "s3").chain("s1", "s2", "s3")
    mesh.leaf("a1", "s1", MATH)
    mesh.bind("a1", f"op:add {MATH}", f"math {MATH}")
    mesh.advance(4)
    mesh.leaf("a3", "s3", MATH2)
    mesh.bind("a3", f"op:add {MATH2}", f"op:fib {MATH2}")
    mesh.run()
    mesh.advance(2)
    return mesh


def names(mesh: MeshRig, label: str = "s1") -> list[Row]:
    return report.names(mesh[label].core.state, mesh.now)


def routes(mesh: MeshRig, destination: str, label: str = "s1") -> list[Row]:
    return [row for row in report.routes(mesh[label].core.state, mesh.now) if row["destination"] == destination]


def graph(mesh: MeshRig, label: str = "s1") -> Row:
    return report.graph(mesh[label].core.state, mesh.now)


def of(rows: object, node: str) -> Row:
    """Return the row of one node."""
    assert isinstance(rows, list)
    [row] = [row for row in rows if row["node"] == node]
    return dict(row)


# Names


def test_a_name_has_a_row_with_what_it_offers_where_and_how_far() -> None:
    assert names(fabric()) == [
        {
            "address": MATH,
            "operations": ["add"],
            "capabilities": ["math"],
            "node": "s1",
            "hops": 0,
            "next_hop": "a1",
        },
        {
            "address": MATH2,
            "operations": ["add", "fib"],
            "capabilities": [],
            "node": "s3",
            "hops": 2,
            "next_hop": "s2",
        },
    ]


def test_a_name_of_the_sentinel_itself_is_local() -> None:
    mesh = MeshRig("s1")
    mesh.bind("s1", MATH)
    [row] = names(mesh)
    assert (row["node"], row["hops"], row["next_hop"]) == ("s1", 0, "local")


def test_an_address_has_a_row_for_each_that_offers_it() -> None:
    mesh = fabric()
    mesh.bind("s2", POOL)
    mesh.bind("s3", POOL)
    mesh.bind("s1", POOL)
    mesh.leaf("b1", "s1", POOL)
    rows = [(row["node"], row["hops"], row["next_hop"]) for row in names(mesh) if row["address"] == POOL]
    assert rows == [("s1", 0, "local"), ("s1", 0, "b1"), ("s2", 1, "s2"), ("s3", 2, "s2")]


def test_names_are_sorted_by_how_far_they_are_as_a_number() -> None:
    labels = [f"s{number:02}" for number in range(12)]
    mesh = MeshRig(*labels).chain(*labels)
    for label in labels:
        mesh.bind(label, POOL)
    mesh.run()
    assert [row["hops"] for row in names(mesh, "s00")] == list(range(12))


def test_an_unreachable_name_is_left_out() -> None:
    mesh = fabric()
    mesh.cut("s2", "s3")
    mesh.run()
    assert [row["address"] for row in names(mesh)] == [MATH]


def test_a_capability_offered_for_an_address_nobody_has_bound_makes_a_row_too() -> None:
    rig = Rig()
    advertise(rig, rig.child("a1", ours=True), "op:add", "z", "a")
    [row] = report.names(rig.core.state, rig.now)
    assert (row["operations"], row["capabilities"]) == (["add"], ["a", "z"])


# Routes


def test_a_route_to_a_child_ends_here() -> None:
    mesh = fabric()
    assert routes(mesh, MATH) == [
        {
            "destination": MATH,
            "kind": "address",
            "next_hop": "a1",
            "via": ["s1"],
            "origin": "s1",
            "hops": 0,
            "cost": 0,
            "age_s": 6.0,
            "conflict": [],
        }
    ]


def test_a_route_to_another_sentinel_lists_all_on_the_way() -> None:
    assert routes(fabric(), MATH2) == [
        {
            "destination": MATH2,
            "kind": "address",
            "next_hop": "s2",
            "via": ["s1", "s2", "s3"],
            "origin": "s3",
            "hops": 2,
            "cost": 2,
            "age_s": 2.0,
            "conflict": [],
        }
    ]


def test_capabilities_pools_and_paths_are_destinations_too() -> None:
    mesh = fabric()
    mesh.bind("s2", POOL)
    mesh.bind("s1", f"/v1/chat {MATH}")
    mesh.run()
    kinds = {row["destination"]: row["kind"] for row in report.routes(mesh["s1"].core.state, mesh.now)}
    assert kinds == {
        f"math {MATH}": "capability",
        f"op:add {MATH}": "capability",
        f"/v1/chat {MATH}": "capability",
        f"op:add {MATH2}": "capability",
        f"op:fib {MATH2}": "capability",
        MATH: "address",
        MATH2: "address",
        POOL: "pool",
        "/s2": "path",
        "/s3": "path",
    }


def test_the_destinations_are_sorted_by_address_and_paths_come_last() -> None:
    mesh = fabric()
    order = [str(row["destination"]) for row in report.routes(mesh["s2"].core.state, mesh.now)]
    assert [destination.rpartition(" ")[2] for destination in order] == 3 * [MATH] + 3 * [MATH2] + ["/s1", "/s3"]


def test_a_route_costs_the_sum_of_its_links() -> None:
    mesh = MeshRig("s1", "s2", "s3")
    mesh.join("s1", "s2", cost=2)
    mesh.join("s2", "s3", cost=3, back=5)
    mesh.run()
    [row] = routes(mesh, "/s3")
    assert (row["hops"], row["cost"]) == (2, 7)


def test_who_offers_the_same_address_is_in_conflict_and_the_nearest_comes_first() -> None:
    mesh = fabric()
    mesh.bind("s2", MATH)
    mesh.bind("s3", MATH)
    mesh.run()
    assert [(row["origin"], row["conflict"]) for row in routes(mesh, MATH)] == [
        ("s1", ["s2", "s3"]),
        ("s2", ["s1", "s3"]),
        ("s3", ["s1", "s2"]),
    ]


def test_a_pool_may_have_many_members_and_is_in_no_conflict() -> None:
    mesh = fabric()
    mesh.bind("s2", POOL, f"cap {POOL}")
    mesh.bind("s3", POOL, f"cap {POOL}")
    mesh.run()
    rows = [*routes(mesh, POOL), *routes(mesh, f"cap {POOL}")]
    assert [row["conflict"] for row in rows] == [[], [], [], []]


def test_what_a_plain_peer_tells_is_in_no_conflict() -> None:
    rig = Rig()
    peer, plain = rig.peer("s2", ours=True), rig.peer("old")
    rig.bind(plain, MATH)
    rig.mesh_offer(peer, "s2", {MATH: 2, "/other": 2})
    rig.settle()
    rows = [row for row in report.routes(rig.core.state, rig.now) if row["destination"] == MATH]
    assert [(row["origin"], row["next_hop"], row["conflict"]) for row in rows] == [("s1", "old", []), ("s2", "s2", [])]


def test_an_unreachable_destination_is_left_out() -> None:
    mesh = fabric()
    mesh.cut("s2", "s3")
    mesh.run()
    assert routes(mesh, MATH2) == routes(mesh, "/s3") == []


def test_a_plain_parent_is_the_default_route() -> None:
    rig = Rig()
    rig.now = 3.0
    rig.parent()
    rig.now = 5.0
    [row] = report.routes(rig.core.state, rig.now)
    assert (row["destination"], row["kind"], row["next_hop"], row["hops"]) == ("/", "path", "root", 0)
    assert row["age_s"] == 2.0


def test_a_leaf_knows_its_own_names_only() -> None:
    rig = Rig("a1", routes=False)
    rig.parent("s1", path="/s1/a1", ours=True)
    rig.do(rig.core.bind(MATH))
    local, default = report.routes(rig.core.state, rig.now)
    assert (local["next_hop"], local["via"], local["age_s"]) == ("local", ["a1"], 0.0)
    assert (default["destination"], default["next_hop"]) == ("/", "s1")
    assert report.graph(rig.core.state, rig.now) == {"node": "a1", "sentinels": [], "links": [], "plain": []}


# The graph


def test_the_graph_lists_sentinels_with_path_distance_age_life_and_offers() -> None:
    mesh = fabric()
    mesh.add("s4", incarnation=7)
    mesh.chain("s3", "s4")
    mesh.advance(5)
    sentinels = graph(mesh)["sentinels"]
    assert graph(mesh)["node"] == "s1"
    assert of(sentinels, "s1") == {
        "node": "s1", "path": "/s1", "hops": 0, "age_s": 11.0, "incarnation": 1, "offers": 3,
    }  # fmt: skip
    assert of(sentinels, "s4") == {
        "node": "s4", "path": "/s4", "hops": 3, "age_s": 5.0, "incarnation": 7, "offers": 0,
    }  # fmt: skip


def test_the_graph_tells_the_path_of_a_sentinel_below_another() -> None:
    mesh = MeshRig("root", "s1", "s2")
    mesh.bind("s1", f"/v1/chat {MATH}")
    mesh.join("s1", "root", PARENT)
    mesh.join("s2", "root", PARENT)
    mesh.run()
    assert of(graph(mesh, "s1")["sentinels"], "s1")["path"] == "/root/s1"
    assert of(graph(mesh, "s2")["sentinels"], "s1")["path"] == "/root/s1"


def test_who_offers_no_path_has_none() -> None:
    mesh = fabric()
    mesh.feed("s2", "s1", update_of(record_of("s9", links=whole(1), offers=whole(1, **{f"/v1/chat {MATH}": 1}))))
    assert of(graph(mesh)["sentinels"], "s9")["path"] == ""


def test_an_unreachable_sentinel_is_listed_without_a_distance() -> None:
    mesh = fabric()
    mesh.crash("s3")
    mesh.run()
    assert of(graph(mesh)["sentinels"], "s3")["hops"] is None


def test_the_graph_lists_each_link_once_with_the_cost_that_counts() -> None:
    mesh = MeshRig("s1", "s2", "s3")
    mesh.join("s2", "s1", cost=2, back=4)
    mesh.join("s3", "s2")
    mesh.run()
    assert graph(mesh)["links"] == [
        {"a": "s1", "b": "s2", "cost": 4, "half": False},
        {"a": "s2", "b": "s3", "cost": 1, "half": False},
    ]


def test_a_link_that_only_one_end_lists_is_half() -> None:
    mesh = fabric()
    mesh.crash("s3")
    mesh.run()
    assert graph(mesh)["links"] == [
        {"a": "s1", "b": "s2", "cost": 1, "half": False},
        {"a": "s2", "b": "s3", "cost": 1, "half": True},
    ]


def test_odd_links_of_others_are_shown_as_they_count() -> None:
    mesh = fabric()
    odd = {"s9": 1, "s0": -3, "s8": 10**9}
    mesh.feed("s2", "s1", update_of(record_of("s9", links=whole(1, **odd))))
    assert [row for row in graph(mesh)["links"] if row["b"] == "s9"] == [
        {"a": "s0", "b": "s9", "cost": 1, "half": True},
        {"a": "s8", "b": "s9", "cost": 1_000_000, "half": True},
    ]


def test_plain_peers_are_listed_at_the_sentinel_they_are_linked_to() -> None:
    rig = Rig()
    peer = rig.peer("s2", ours=True)
    rig.peer("old")
    rig.parent("top", path="/top/s1")
    rig.mesh_offer(peer, "s2", {"/s2": 1, "/older": 2, "/": 2, f"/v1/chat {MATH}": 2})
    rig.settle()
    assert report.graph(rig.core.state, rig.now)["plain"] == [
        {"node": "old", "at": "s1", "kind": "peer"},
        {"node": "older", "at": "s2", "kind": "peer"},
        {"node": "top", "at": "s1", "kind": "parent"},
    ]


def test_leaves_are_not_in_the_graph() -> None:
    rig = Rig()
    rig.child("a1")
    rig.child("a2", ours=True)
    answer = report.graph(rig.core.state, rig.now)
    assert (answer["links"], answer["plain"]) == ([], [])
    assert [row["node"] for row in answer["sentinels"]] == ["s1"]  # type: ignore[attr-defined]  # a list


# Links


def test_every_attached_neighbour_is_listed_oldest_first() -> None:
    rig = Rig()
    rig.child("a1")
    rig.now = 2.5
    rig.dialed_peer("s2", ours=True).cost = 5
    rig.open(LinkKind.PEER, "not-yet")
    rig.now = 4.0
    assert report.links(rig.core.state, rig.now) == [
        {
            "node": "a1", "kind": "child", "path": "/s1/a1", "plain": True, "mesh": False, "dialed": False,
            "cost": 1, "age_s": 4.0, "state": "open", "extensions": [], "reason": "",
        },
        {
            "node": "s2", "kind": "peer", "path": "/s2", "plain": False, "mesh": True, "dialed": True,
            "cost": 5, "age_s": 1.5, "state": "open", "extensions": ["batch", "cancel", "mesh", "sys", "window"],
                "reason": "",
        },
    ]  # fmt: skip


def test_a_link_that_is_being_replaced_is_draining() -> None:
    rig = Rig()
    fire(rig.session(rig.peer("s2", ours=True)), Event.DRAIN)
    [row] = report.links(rig.core.state, rig.now)
    assert row["state"] == "draining"


# Look-ups


def test_the_providers_of_a_capability_are_listed_nearest_first() -> None:
    mesh = fabric()
    mesh.bind("s2", f"op:add {MATH2}")
    mesh.bind("s1", f"op:add {POOL}")
    mesh.run()
    assert report.lookup(mesh["s1"].core.state, "op:add", mesh.now) == [
        {"address": POOL, "node": "local", "origin": "s1", "hops": 0},
        {"address": MATH, "node": "a1", "origin": "s1", "hops": 0},
        {"address": MATH2, "node": "s2", "origin": "s2", "hops": 1},
        {"address": MATH2, "node": "s2", "origin": "s3", "hops": 2},
    ]


def test_what_nobody_offers_has_no_provider() -> None:
    mesh = fabric()
    mesh.cut("s2", "s3")
    mesh.run()
    assert report.lookup(mesh["s1"].core.state, "op:fib", mesh.now) == []
