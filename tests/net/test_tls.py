"""Links over TLS, by both transports: encrypted, of the right name, and with certificates of one's own where wanted."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from fame_cli.errors import ConfigError, ConnectError, FameError
from fame_cli.net.answer import Answer, Route, Shown
from fame_cli.net.choice import Network, network
from fame_cli.net.pump import Turn
from fame_cli.net.transport import Transport
from fame_cli.security.issuing import CertificateAuthority, ServerNames, private_pem
from fame_cli.security.jwk import generate
from fame_cli.security.settings import Tls
from fame_cli.security.tls import client_context, server_context


class Inbox:
    """Take what a link brings."""

    def __init__(self) -> None:
        self.got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def message_received(self, data: bytes) -> None:
        self.got.set_result(data)

    def transport_stalled(self) -> None: ...

    def transport_drained(self) -> None: ...

    def connection_lost(self, reason: str) -> None: ...


@pytest.fixture(params=["websockets", "picows"])
def net(request: pytest.FixtureRequest) -> Network:
    """Give each transport in turn."""
    return network(request.param)


@pytest.fixture
def files(tmp_path: Path) -> Callable[[str], Tls]:
    """Give what makes the files of a node, all of one authority."""
    authority = CertificateAuthority.create("test", time.time())
    (tmp_path / "ca.pem").write_text(authority.certificate_pem)

    def make(name: str, *, clients: str = "none") -> Tls:
        keys = generate()
        names = ServerNames(addresses=(ip_address("127.0.0.1"),))
        chain = authority.issue(name, f"/{name}", keys.signing.public_key(), time.time(), names=names)
        certificate, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        certificate.write_text(chain)
        key.write_bytes(private_pem(keys.signing))
        return Tls(certificate, key, tmp_path / "ca.pem", clients)

    return make


def linked(net: Network, server: Tls, shown: Shown, body: Callable[[str], Awaitable[None]] | None = None) -> bytes:
    """Dial a listener and return what came through."""

    async def main() -> bytes:
        inbox = Inbox()
        accepted: list[Transport] = []

        def accept(transport: Transport, route: Route) -> None:
            accepted.append(transport)
            transport.start(inbox)

        answer: Answer = lambda asked: Route("peer", "x", asked)  # noqa: E731
        listening = await net.listen("127.0.0.1", 0, Turn(), answer, accept, tls=server_context(server))
        try:
            port = next(iter(listening.sockets)).getsockname()[1]
            turn = Turn()
            transport = await net.dial(f"wss://127.0.0.1:{port}/x", turn, shown)
            transport.start(Inbox())
            transport.send(b"hello")
            turn.flush()
            got = await asyncio.wait_for(inbox.got, 5)
            transport.close(1000, "")
            await transport.wait_closed()
            return got
        finally:
            listening.close()

    return asyncio.run(main())


def test_a_link_over_tls_carries_messages(net: Network, files: Callable[..., Tls]) -> None:
    tls = files("s1")
    assert linked(net, tls, Shown(tls=client_context(Tls(authorities=tls.authorities)))) == b"hello"


def test_an_authority_that_is_not_known_is_not_believed(net: Network, files: Callable[..., Tls]) -> None:
    with pytest.raises(ConnectError):
        linked(net, files("s1"), Shown())


def test_a_listener_that_wants_certificates_gets_them(net: Network, files: Callable[..., Tls]) -> None:
    server = files("s1", clients="required")
    assert linked(net, server, Shown(tls=client_context(files("a1")))) == b"hello"


def test_who_has_no_certificate_does_not_get_through_where_one_is_required(
    net: Network, files: Callable[..., Tls]
) -> None:
    server = files("s1", clients="required")
    with pytest.raises((FameError, TimeoutError)):
        linked(net, server, Shown(tls=client_context(Tls(authorities=server.authorities))))


def test_no_link_of_ours_speaks_an_old_tls(files: Callable[..., Tls]) -> None:
    context = server_context(files("s1"))
    assert context is not None
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_listener_without_a_certificate_speaks_in_the_clear() -> None:
    assert server_context(Tls()) is None
    assert client_context(Tls()) is None


def test_a_file_that_is_not_there_or_does_not_fit_is_named(files: Callable[..., Tls], tmp_path: Path) -> None:
    one, other = files("s1"), files("s2")
    with pytest.raises(ConfigError, match="no such file"):
        server_context(Tls(tmp_path / "none.pem", one.key))
    with pytest.raises(ConfigError, match="can't be used"):
        server_context(Tls(one.certificate, other.key))
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(ConfigError, match="can't be used"):
        client_context(Tls(authorities=tmp_path / "text.pem"))
