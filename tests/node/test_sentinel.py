"""A sentinel on real sockets: its port, its health, its peers and parent, and those who mustn't be."""

import asyncio
import json
import socket
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest
from host_rig import Work
from node_rig import MATH, bounded, fabric, serving, turns, until

from fame_cli.core.limits import LINKS_PER_HOST, Limits
from fame_cli.errors import ConfigError, ConnectError, LinkLost, LocalProtocolError, NoRoute
from fame_cli.node.client import Client
from fame_cli.node.sentinel import Sentinel
from fame_cli.security.keystore import Home
from fame_cli.security.settings import SecuritySettings

LOOPBACK = "127.0.0.1:0"


def free_port() -> int:
    """Find a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def get(address: str, path: str, *headers: str) -> tuple[int, dict[str, object]]:
    """Ask by plain HTTP; return status and JSON body."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    request = [f"GET {path} HTTP/1.1", f"Host: {address}", *headers]
    writer.write("\r\n".join(request).encode() + b"\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status = int(head.split()[1])
    return status, json.loads(body) if b"application/json" in head else {"text": body.decode()}


async def adds(client: Client, address: str = MATH) -> object:
    """Call across the fabric as soon as there is a way."""
    while True:
        try:
            return await client.call(address, "add", 3, 4)
        except (NoRoute, LinkLost):
            await asyncio.sleep(0)


# Its port


def test_a_sentinel_lives_and_is_ready() -> None:
    async def main() -> None:
        async with fabric((MATH, Work())) as sentinel:
            status, told = await get(sentinel.address, "/healthz")
            assert (status, told["status"]) == (200, "ok")
            assert isinstance(told["uptime_s"], float)
            assert await get(sentinel.address, "/readyz?verbose") == (
                200,
                {"status": "ready", "node": "s1", "links": 1},
            )
            assert await get(sentinel.address, "/fame/v1/attach/health") == (
                200,
                {"status": "healthy", "active_connections": 1, "listener_type": "WebSocketListener"},
            )

    bounded(main())


@pytest.mark.parametrize("path", ["/", "/nothing", "/fame/v1/attach", "/healthz/", "//healthz", "/fame/v1/attach/ws"])
def test_other_paths_are_not_found(path: str) -> None:
    async def main() -> None:
        async with Sentinel(listen=LOOPBACK) as sentinel:
            status, told = await get(sentinel.address, path)
            assert (status, told) == (404, {"error": "nothing here; attach at /fame/v1/attach/ws/downstream/<id>"})

    bounded(main())


@pytest.mark.parametrize("path", ["downstream", "downstream/", "peer/a%20b", "downstream/..", "upstream/a", "peer/a/b"])
def test_who_attaches_with_a_bad_path_is_refused(path: str) -> None:
    async def main() -> None:
        async with Sentinel(listen=LOOPBACK) as sentinel:
            status, told = await get(sentinel.address, f"/fame/v1/attach/ws/{path}")
            assert (status, str(told["error"])[:34]) == (403, "attach as downstream or peer, with")

    bounded(main())


def test_an_attach_path_wants_a_websocket() -> None:
    async def main() -> None:
        async with Sentinel(listen=LOOPBACK) as sentinel:
            status, _ = await get(sentinel.address, "/fame/v1/attach/ws/downstream/a")
            assert status == 426
            assert sentinel.node.link_count() == 0

    bounded(main())


def test_garbage_on_the_port_harms_nobody() -> None:
    async def main() -> None:
        async with fabric((MATH, Work())) as sentinel:
            host, _, port = sentinel.address.rpartition(":")
            for garbage in (
                b"\0\xff" * 100,
                b"GET\r\n\r\n",
                b"POST /healthz HTTP/1.1\r\n\r\n",
                b"GET / HTTP/9\r\n\r\n",
                b"",
            ):
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(garbage)
                writer.write_eof()
                await reader.read()
                writer.close()
            async with Client(sentinel.url) as client:
                assert await client.call(MATH, "add", 3, 4) == 7

    bounded(main())


def test_a_port_in_use_is_an_error_of_the_config_in_one_line() -> None:
    async def main() -> None:
        async with Sentinel(listen=LOOPBACK) as first:
            with pytest.raises(ConfigError) as caught:
                async with Sentinel(listen=first.address):
                    pass
            why = "address already in use; choose another port, or stop what has it"
            assert str(caught.value) == f"listen: can't listen on {first.address}: {why}"

    bounded(main())


def test_a_host_that_is_not_ours_is_an_error_of_the_config() -> None:
    async def main() -> None:
        with pytest.raises(ConfigError, match=r"can't listen on nowhere\.invalid:0: (?!unknown)\w+"):
            async with Sentinel(listen="nowhere.invalid:0"):
                pass
        with pytest.raises(ConfigError, match=r"can't listen on 192\.0\.2\.1:0: \w+"):
            async with Sentinel(listen="192.0.2.1:0"):
                pass

    bounded(main())


@pytest.mark.parametrize("listen", ["8000", ":8000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", ""])
def test_what_is_not_host_and_port_is_an_error_of_the_config(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"isn't host:port; write it like 127\.0\.0\.1:8000$"):
        Sentinel(listen=listen)


def test_what_can_be_no_id_is_an_error_of_the_config() -> None:
    with pytest.raises(ConfigError, match=r"^id: a/b can't be a node id; "):
        Sentinel(id="a/b")


def test_the_newer_internet_protocol_works() -> None:
    async def main() -> None:
        try:
            sentinel = await AsyncExitStack().enter_async_context(Sentinel(listen="[::1]:0"))
        except ConfigError:
            pytest.skip("this machine has no ::1")
        async with Client(sentinel.url) as client:
            assert sentinel.url.startswith("ws://[::1]:")
            assert (await client.call(f"__sys__@/{sentinel.node.node_id}", "fabric.status"))["links"]
        await sentinel.__aexit__(None, None, None)

    bounded(main())


def test_more_links_than_allowed_are_turned_away_and_room_is_made_again() -> None:
    async def main() -> None:
        async with Sentinel(listen=LOOPBACK, max_links=1) as sentinel:
            async with Client(sentinel.url):
                with pytest.raises(ConnectError, match="links are open"):
                    async with Client(sentinel.url):
                        pass
                assert (await get(sentinel.address, "/healthz"))[0] == 200
            await until(lambda: sentinel.node.link_count() == 0)
            async with Client(sentinel.url):
                pass

    bounded(main())


def test_a_sentinel_that_is_busy_lets_a_thousand_connections_wait() -> None:
    """A connection that finds no room tries again after one second, then three: a storm of agents would take long."""

    async def main() -> None:
        async with Sentinel(listen=LOOPBACK) as sentinel:
            host, _, port = sentinel.address.rpartition(":")
            with ExitStack() as waiting:  # within one turn of the loop, so that none of them is taken meanwhile
                for _ in range(1000):
                    waiting.enter_context(socket.create_connection((host, int(port)), timeout=0.5))

    bounded(main())


def test_of_many_that_dial_at_once_no_more_are_let_in_than_allowed() -> None:
    async def main() -> None:
        async with Sentinel(listen=LOOPBACK, max_links=5) as sentinel, AsyncExitStack() as stack:
            dials = [stack.enter_async_context(Client(sentinel.url)) for _ in range(20)]
            results = await asyncio.gather(*dials, return_exceptions=True)
            assert sum(isinstance(result, ConnectError) for result in results) == 15
            assert sentinel.node.link_count() == 5

    bounded(main())


@pytest.mark.parametrize("transport", ["websockets", "picows"])
def test_of_one_host_so_many_links_are_let_in_and_room_is_made_again(transport: str) -> None:
    limits = Limits(links_per_host=5)

    async def main() -> None:
        async with Sentinel(listen=LOOPBACK, limits=limits, transport=transport) as sentinel:
            async with AsyncExitStack() as stack:
                dials = [stack.enter_async_context(Client(sentinel.url)) for _ in range(20)]
                results = await asyncio.gather(*dials, return_exceptions=True)
                refused = {str(result) for result in results if isinstance(result, ConnectError)}
                told = "takes no link now: 127.0.0.1 has as many links open as limits.links_per_host allows (5)"
                hint = "try again later, close others, or raise that limit there"
                assert refused == {f"{sentinel.address} {told}; {hint}"}
                assert sum(isinstance(result, ConnectError) for result in results) == 15
                assert sentinel.node.link_count() == 5
            await until(lambda: sentinel.node.link_count() == 0)
            async with Client(sentinel.url):
                pass

    bounded(main())


@pytest.mark.parametrize(("profile", "most"), [("open", 0), ("gated", LINKS_PER_HOST)])
def test_hosts_are_counted_above_the_open_profile_alone(profile: str, most: int, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.make_authority("fame.fabric")
    security = SecuritySettings(profile=profile, home=home.root)

    async def main() -> None:
        async with Sentinel(listen=LOOPBACK, security=security) as sentinel:
            assert sentinel.node.core.settings.limits.links_per_host == most

    bounded(main())


# Its life


def test_a_sentinel_that_does_not_run_says_so() -> None:
    sentinel = Sentinel(listen=LOOPBACK)
    with pytest.raises(LocalProtocolError, match="the sentinel isn't running"):
        _ = sentinel.node

    async def main() -> None:
        async with sentinel:
            assert sentinel.node.node_id.startswith("sentinel-")
        with pytest.raises(LocalProtocolError, match="the sentinel isn't running"):
            _ = sentinel.node
        async with sentinel:  # it can run again
            assert (await get(sentinel.address, "/healthz"))[0] == 200

    bounded(main())


def test_two_sentinels_without_an_id_have_two() -> None:
    async def main() -> None:
        async with Sentinel(listen=LOOPBACK) as one, Sentinel(listen=LOOPBACK) as two:
            assert one.node.node_id != two.node.node_id

    bounded(main())


def test_a_sentinel_can_end_before_its_peer_has_come_while_others_are_attached() -> None:
    async def main() -> None:
        peer = f"ws://127.0.0.1:{free_port()}/fame/v1/attach/ws/peer"
        async with AsyncExitStack() as stack, Sentinel(listen=LOOPBACK, peers=[peer]) as sentinel:
            await stack.enter_async_context(Client(sentinel.url))  # left after the sentinel

    bounded(main())


# Peers


def test_a_call_crosses_a_peer_link_both_ways() -> None:
    async def main() -> None:
        async with (
            fabric((MATH, Work())) as s1,
            Sentinel(id="s2", listen=LOOPBACK, peers=[s1.peer_url]) as s2,
            serving(Work(), s2.url, "other@fame.fabric", "agent-at-s2"),
            Client(s1.url) as here,
            Client(s2.url) as there,
        ):
            await s2.ready()
            assert await adds(there) == 7
            assert await adds(here, "other@fame.fabric") == 7
            assert [item async for item in there.stream(MATH, "count", 1000)] == list(range(1000))

    bounded(main())


def test_peers_are_dialled_until_they_are_there() -> None:
    async def main() -> None:
        port = free_port()
        peer = f"ws://127.0.0.1:{port}/fame/v1/attach/ws/peer"
        async with Sentinel(id="s2", listen=LOOPBACK, peers=[peer]) as s2, serving(Work(), s2.url):
            ready = asyncio.ensure_future(s2.ready())
            await turns()
            assert not ready.done()
            assert (await get(s2.address, "/readyz"))[0] == 200  # a peer that is away stops nobody
            async with Sentinel(id="s1", listen=f"127.0.0.1:{port}") as s1, Client(s1.url) as client:
                await ready
                assert await adds(client) == 7

    bounded(main())


def test_a_peer_that_comes_back_is_found_again() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            async with Sentinel(id="s1", listen=LOOPBACK) as s1:
                s2 = await stack.enter_async_context(Sentinel(id="s2", listen=LOOPBACK, peers=[s1.peer_url]))
                await stack.enter_async_context(serving(Work(), s2.url))
                async with Client(s1.url) as client:
                    assert await adds(client) == 7
            async with Sentinel(id="s1", listen=s1.address) as again, Client(again.url) as client:
                assert await adds(client) == 7

    bounded(main())


def test_sentinels_that_dial_each_other_keep_one_link() -> None:
    async def main() -> None:
        ports = [free_port(), free_port()]
        urls = [f"ws://127.0.0.1:{port}/fame/v1/attach/ws/peer" for port in ports]
        async with (
            Sentinel(id="s1", listen=f"127.0.0.1:{ports[0]}", peers=[urls[1]]) as s1,
            Sentinel(id="s2", listen=f"127.0.0.1:{ports[1]}", peers=[urls[0]]) as s2,
            serving(Work(), s1.url),
            Client(s2.url) as client,
        ):
            await s1.ready()
            await s2.ready()
            assert await adds(client) == 7
            await until(lambda: s1.node.link_count() == s2.node.link_count() == 2)  # the peer, and one of ours each
            await turns(1000)
            assert (s1.node.link_count(), s2.node.link_count()) == (2, 2)
            assert await adds(client) == 7

    bounded(main())


def test_of_two_sentinels_of_one_id_the_second_takes_another_and_works() -> None:
    async def main() -> None:
        async with (
            fabric((MATH, Work())) as hub,
            Sentinel(id="twin", listen=LOOPBACK, peers=[hub.peer_url]) as first,
        ):
            await first.ready()
            async with Sentinel(id="twin", listen=LOOPBACK, peers=[hub.peer_url]) as second:
                await second.ready()
                assert first.node.node_id == "twin"
                assert second.node.node_id.startswith("twin-")
                async with Client(first.url) as one, Client(second.url) as two:
                    assert await asyncio.gather(adds(one), adds(two)) == [7, 7]

    bounded(main())


def test_a_peer_of_our_own_id_makes_us_take_another() -> None:
    async def main() -> None:
        async with (
            fabric((MATH, Work())) as s1,
            Sentinel(id="s1", listen=LOOPBACK, peers=[s1.peer_url]) as other,
            Client(other.url) as client,
        ):
            await other.ready()
            assert other.node.node_id.startswith("s1-")
            assert await adds(client) == 7

    bounded(main())


def test_those_attached_to_a_sentinel_that_takes_another_id_come_back() -> None:
    async def main() -> None:
        port = free_port()
        hub_url = f"ws://127.0.0.1:{port}/fame/v1/attach/ws/peer"
        async with (
            Sentinel(id="twin", listen=LOOPBACK, peers=[hub_url]) as second,
            serving(Work(), second.url),
            Client(second.url) as client,
        ):
            assert await client.call(MATH, "add", 3, 4) == 7
            async with Sentinel(id="twin", listen=f"127.0.0.1:{port}") as hub, Client(hub.url) as far:
                await second.ready()
                assert second.node.node_id.startswith("twin-")
                assert await adds(client) == 7
                assert await adds(far) == 7

    bounded(main())


def test_a_sentinel_that_dials_itself_goes_on_working(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        port = free_port()
        own = f"ws://127.0.0.1:{port}/fame/v1/attach/ws/peer"
        async with (
            Sentinel(id="s1", listen=f"127.0.0.1:{port}", peers=[own]) as sentinel,
            serving(Work(), sentinel.url),
            Client(sentinel.url) as client,
        ):
            assert await client.call(MATH, "add", 3, 4) == 7
            await until(lambda: "SELF_LINK" in reasons(caplog))
            assert await client.call(MATH, "add", 3, 4) == 7

    bounded(main())


def reasons(caplog: pytest.LogCaptureFixture) -> str:
    return " ".join(str(record.__dict__.get("facts")) for record in caplog.records if record.message == "link_failed")


# A parent


def test_a_sentinel_below_another_is_ready_once_it_is_attached() -> None:
    async def main() -> None:
        port = free_port()
        upstream = f"ws://127.0.0.1:{port}/fame/v1/attach/ws/downstream"
        async with Sentinel(id="leaf", listen=LOOPBACK, upstream=upstream) as leaf, serving(Work(), leaf.url):
            assert await get(leaf.address, "/readyz") == (
                503,
                {"status": "waiting for upstream", "node": "leaf", "links": 1},
            )
            assert (await get(leaf.address, "/healthz"))[0] == 200
            async with Sentinel(id="root", listen=f"127.0.0.1:{port}") as root, Client(root.url) as client:
                await leaf.ready()
                assert leaf.node.core.table.path == "/root/leaf"
                assert (await get(leaf.address, "/readyz"))[0] == 200
                assert await adds(client) == 7

    bounded(main())


def test_a_sentinel_cannot_attach_below_its_own_id() -> None:
    async def main() -> None:
        async with (
            Sentinel(id="s1", listen=LOOPBACK) as root,
            Sentinel(id="s1", listen=LOOPBACK, upstream=root.url) as leaf,
        ):
            await turns(500)
            assert (await get(leaf.address, "/readyz"))[0] == 503
            assert root.node.link_count() == 0

    bounded(main())


def test_a_neighbour_that_is_dialled_in_vain_is_listed_with_the_reason() -> None:
    async def main() -> None:
        url = f"ws://127.0.0.1:{free_port()}/fame/v1/attach/ws/peer"
        async with Sentinel(id="s1", listen=LOOPBACK, peers=[(url, 3)]) as sentinel, Client(sentinel.url) as client:
            await until(lambda: url in sentinel.node.dialing)
            rows = await client.ask("fabric.links")
            [row] = [row for row in rows if row["state"] == "dialing"]
            assert (row["path"], row["kind"]) == (url, "peer")
            assert "no sentinel listens" in row["reason"]

    bounded(main())


def test_what_does_not_fit_into_one_answer_is_told_page_by_page() -> None:
    async def main() -> None:
        async with Sentinel(id="s1", listen=LOOPBACK, max_message_bytes=4096) as sentinel:
            for number in range(60):
                sentinel.node.perform(sentinel.node.core.bind(f"math{number}@fame.fabric"))
            async with Client(sentinel.url) as client:
                for method in ("fabric.names", "fabric.routes"):
                    rows: list[dict[str, object]] = []
                    while page := await client.ask(method, arguments={"offset": len(rows)}):
                        assert len(page) < 60
                        rows += page
                    assert len({str(row.get("address", row.get("destination"))) for row in rows}) >= 60

    bounded(main())


def test_a_client_waits_no_longer_for_a_sentinel_than_it_was_told() -> None:
    async def main() -> None:
        with socket.socket() as silent:  # takes connections and says nothing
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            url = f"ws://127.0.0.1:{silent.getsockname()[1]}/fame/v1/attach/ws/downstream"
            with pytest.raises(ConnectError, match=r"didn't answer within 0.05 s"):
                async with Client(url, timeout_s=0.05):
                    pass

    bounded(main())


def test_a_row_that_fits_into_no_answer_is_cut() -> None:
    async def main() -> None:
        async with Sentinel(id="s1", listen=LOOPBACK, max_message_bytes=4096) as sentinel:
            core = sentinel.node.core
            sentinel.node.perform(core.bind(MATH))
            for number in range(200):
                sentinel.node.perform(core.advertise(f"op:operation-{number}", MATH))
            async with Client(sentinel.url) as client:
                [row] = await client.ask("fabric.names")
                assert row["operations"][-1] == "…"
                assert len(row["operations"]) > 20

    bounded(main())
