"""`fame routes` and `fame peers`: what one sentinel knows, asked at the one attached to or at another."""

import json

from fame_runner import Fame

from fame_cli.errors import NoRoute

# fame routes


def test_addresses_and_pools_are_listed_with_their_way(fame: Fame) -> None:
    result = fame("routes")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "DESTINATION        NEXT HOP     PATH          HOPS  COST  AGE\n"
        "math1@fame.fabric  math-agent1  s1            0     0     3m07s\n"
        "math3@fame.fabric  s2           s1 → s2 → s3  2     2     12s\n"
    )
    assert fame.client.asked == ["attached fabric.routes"]


def test_all_shows_capabilities_and_paths_and_the_kind_of_each(fame: Fame) -> None:
    assert fame("routes", "--all").stdout == (
        "KIND        DESTINATION               NEXT HOP     PATH          HOPS  COST  AGE\n"
        "address     math1@fame.fabric         math-agent1  s1            0     0     3m07s\n"
        "address     math3@fame.fabric         s2           s1 → s2 → s3  2     2     12s\n"
        "capability  op:add math2@fame.fabric  s2           s1 → s2       1     1     12s\n"
        "path        /s2                       s2           s1 → s2       1     1     12s\n"
    )


def test_routes_are_ordered_by_kind_then_name_then_distance(fame: Fame) -> None:
    fame.client.answers["fabric.routes"] = [
        {"destination": "x", "kind": "of the future"},
        {"destination": "p@*.x", "kind": "pool", "hops": 2},
        {"destination": "p@*.x", "kind": "pool", "hops": 1},
        {"destination": "b@x"},
        {"destination": "a@x"},
    ]
    shown = [line.split() for line in fame("routes", "--all").stdout.splitlines()[1:]]
    assert [row[1] for row in shown] == ["a@x", "b@x", "p@*.x", "p@*.x", "the"]
    assert [row[4] for row in shown[2:4]] == ["1", "2"]


def test_a_conflict_is_marked_and_explained_on_stderr(fame: Fame) -> None:
    fame.client.answers["fabric.routes"][1] |= {"conflict": ["s9", "s4"]}
    result = fame("routes")
    assert "\nmath3@fame.fabric !  s2 " in result.stdout
    assert result.stderr == (
        "fame: math3@fame.fabric is offered at s3 and s4 and s9, of which s3 is nearest; "
        "if that isn't meant, give one of the agents another address\n"
    )


def test_a_conflict_is_explained_once_however_many_ways_there_are(fame: Fame) -> None:
    fame.client.answers["fabric.routes"] = [
        {"destination": "a@x", "origin": "s3", "hops": 1, "cost": 9, "conflict": ["s1"]},
        {"destination": "a@x", "origin": "s1", "hops": 2, "cost": 2, "conflict": ["s3"]},
        {"destination": "b@x", "origin": "s1"},
    ]
    result = fame("routes")
    assert result.stdout.count(" !") == 2
    assert result.stderr.startswith("fame: a@x is offered at s1 and s3, of which s1 is nearest; ")
    assert result.stderr.count("\n") == 1


def test_json_has_what_is_shown_and_more(fame: Fame) -> None:
    first, second = json.loads(fame("routes", "-o", "json").stdout)
    assert (first["destination"], first["cost"], second["origin"]) == ("math1@fame.fabric", 0, "s3")
    assert len(fame("routes", "--all", "-o", "ndjson").stdout.splitlines()) == 4


def test_another_sentinel_is_asked_at_its_path(fame: Fame) -> None:
    fame.client.answers["fabric.graph"]["sentinels"][0]["path"] = "/s1/s3"
    assert fame("routes", "--at", "s3").exit_code == 0
    assert fame.client.asked == ["attached fabric.graph", "/s1/s3 fabric.routes"]


def test_an_unknown_sentinel_gets_the_nearest_names_and_exit_code_5(fame: Fame) -> None:
    result = fame("routes", "--at", "s22")
    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr == 'fame: no sentinel is called "s22"; did you mean s2?\n'


def test_a_sentinel_whose_path_nobody_knows_is_as_good_as_unknown(fame: Fame) -> None:
    fame.client.answers["fabric.graph"] = {"node": "s1", "sentinels": [{"node": "s7"}]}
    assert fame("routes", "--at", "s7").exit_code == 5


def test_a_sentinel_that_is_out_of_reach_says_so_with_exit_code_5(fame: Fame) -> None:
    result = fame("routes", "--at", "s9")
    assert (result.exit_code, result.stderr) == (
        5, 'fame: "s9" is out of reach; see which links there are: fame graph\n',
    )  # fmt: skip


def test_a_sentinel_that_goes_out_of_reach_meanwhile_says_so_with_exit_code_5(fame: Fame) -> None:
    fame.client.answers["fabric.routes"] = NoRoute("nobody serves __sys__@/s1/s3")
    result = fame("routes", "--at", "s3")
    assert (result.exit_code, result.stderr) == (
        5, "fame: nobody serves __sys__@/s1/s3; see who is there: fame graph\n",
    )  # fmt: skip


def test_a_sentinel_elsewhere_that_is_of_another_version_is_named(fame: Fame) -> None:
    del fame.client.answers["fabric.routes"]
    assert "the sentinel at /s2 can't answer fabric.routes" in fame("routes", "--at", "s2").stderr


# fame peers


def test_neighbours_are_listed_peers_before_children(fame: Fame) -> None:
    result = fame("peers")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "NODE         KIND   SPEAKS  COST  STATE     DIALED  AGE    PATH\n"
        "old          peer   plain   -     draining  no      3s     /old\n"
        "s2           peer   mesh    5     open      yes     2h05m  /s2\n"
        "math-agent1  child  fame    -     open      no      3m07s  /s1/math-agent1\n"
    )


def test_a_neighbour_of_a_kind_to_come_is_listed_last(fame: Fame) -> None:
    fame.client.answers["fabric.links"] = [{"node": "a", "kind": "new"}, {"node": "b", "kind": "child"}]
    assert [line.split()[0] for line in fame("peers").stdout.splitlines()] == ["NODE", "b", "a"]


def test_neighbours_of_another_sentinel_as_json(fame: Fame) -> None:
    rows = json.loads(fame("peers", "--at", "s2", "-o", "json").stdout)
    assert [row["node"] for row in rows] == ["old", "s2", "math-agent1"]
    assert rows[1]["extensions"] == ["mesh", "sys"]
    assert fame.client.asked[-1] == "/s2 fabric.links"
