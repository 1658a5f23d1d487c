"""Profiles over real sockets: the same program, one setting, and who shows nothing gets nowhere."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from token_rig import AGENT_GRANT, AUDIENCE, ISSUER, claims_of, http, jwk_of, key_of, sign, web_server

from fame_cli.core.grant import AGENT, CLIENT, PEER, Grant
from fame_cli.core.limits import Limits
from fame_cli.errors import AdmissionRefused, ConnectError, FameError, LinkLost, NoRoute, PolicyDenied
from fame_cli.node.agent import Agent, operation
from fame_cli.node.client import Client
from fame_cli.node.options import Options
from fame_cli.node.sentinel import Sentinel
from fame_cli.node.serving import serve_agent
from fame_cli.security.files import PRIVATE, PUBLIC, write_file
from fame_cli.security.issuing import CertificateAuthority, ServerNames, private_pem
from fame_cli.security.keystore import Home
from fame_cli.security.policy import Policy, Rule
from fame_cli.security.settings import Admission, Issuer, SecuritySettings, Tls

pytestmark = pytest.mark.e2e

MATH = "math@fame.fabric"
SECURED = ["gated", "overlay", "strict-overlay"]


class Math(Agent):
    """Add and count."""

    @operation
    def add(self, x: int, y: int) -> int:
        """Return the sum."""
        return x + y

    @operation
    async def count(self, n: int) -> AsyncIterator[int]:
        """Yield 0 .. n - 1."""
        for number in range(n):
            yield number


@dataclass
class Kept:
    """Keep a policy that never changes."""

    policy: Policy

    def refresh(self) -> bool:
        """Have nothing new."""
        return False


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Give a home folder with both authorities."""
    made = Home(tmp_path / "home")
    made.make_authority("fame.fabric")
    authority = CertificateAuthority.create("test", time.time())
    write_file(made.root / "ca.pem", authority.certificate_pem.encode(), PUBLIC)
    write_file(made.root / "ca.key", authority.key_pem, PRIVATE)
    return made


@contextlib.asynccontextmanager
async def fabric(security: SecuritySettings, hops: int = 2) -> AsyncIterator[list[Sentinel]]:
    """Run a chain of sentinels with an agent at its end."""
    async with contextlib.AsyncExitStack() as stack:
        sentinels: list[Sentinel] = []
        for number in range(hops):
            peers = [sentinels[-1].peer_url] if sentinels else []
            made = Sentinel(id=f"s{number}", listen="127.0.0.1:0", peers=peers, security=security)
            sentinels.append(await stack.enter_async_context(made))
            await asyncio.wait_for(made.ready(), 10)
        serving = asyncio.ensure_future(
            serve_agent(Math(), MATH, sentinels[-1].url, node_id="math", options=Options(security=security))
        )
        try:
            yield sentinels
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


async def reached(client: Client, address: str = MATH) -> int:
    """Call until the agent is known everywhere, and has the key its calls are sealed to."""
    async with asyncio.timeout(10):
        while True:
            try:
                return int(await client.call(address, "add", x=3, y=4))
            except (NoRoute, LinkLost):
                await asyncio.sleep(0)


@pytest.mark.parametrize("profile", SECURED)
@pytest.mark.parametrize("hops", [1, 3])
def test_calls_and_streams_pass_in_every_profile(profile: str, hops: int, home: Home) -> None:
    async def main() -> None:
        security = SecuritySettings(profile=profile, home=home.root)
        async with fabric(security, hops) as sentinels, Client(sentinels[0].url, security=security) as client:
            assert await reached(client) == 7
            assert [item async for item in client.stream(MATH, "count", n=100)] == list(range(100))
            with pytest.raises(FameError):
                await client.call(MATH, "nothing")

    asyncio.run(main())


@pytest.mark.parametrize("profile", SECURED)
def test_who_has_the_authoritys_key_is_an_admin_where_it_says_so(profile: str, home: Home) -> None:
    async def main() -> None:
        security = SecuritySettings(profile=profile, home=home.root)
        async with fabric(security) as sentinels:
            near = sentinels[0].url
            async with Client(near, security=security) as client, Client(near, security=security, admin=True) as admin:
                assert await reached(client) == 7
                for at in ("/s0", "/s1", "/s1/math"):
                    which = {"ids": ["m"], "box": "dead"}
                    assert await admin.ask("mail.ls", at=at) == []
                    assert await admin.ask("mail.drop", at=at, arguments=which) == {"ids": [], "reason": ""}
                    with pytest.raises(PolicyDenied, match="that is for admins"):
                        await client.ask("mail.drop", at=at, arguments=which)

    asyncio.run(main())


@pytest.mark.parametrize("profile", SECURED)
def test_the_first_call_after_the_authority_got_a_new_key_is_answered(profile: str, home: Home) -> None:
    """Where it attaches as well as at the agent, who verifies the caller's key by the same token."""

    async def main() -> None:
        security = SecuritySettings(profile=profile, home=home.root)
        async with fabric(security) as sentinels:
            async with Client(sentinels[0].url, security=security) as client:
                assert await reached(client) == 7
            home.rotate_authority()
            async with Client(sentinels[0].url, security=security) as client:
                assert await client.call(MATH, "add", x=3, y=4) == 7

    asyncio.run(main())


def test_calls_that_are_sealed_find_an_agent_that_moved(home: Home) -> None:
    async def main() -> None:
        security = SecuritySettings(profile="strict-overlay", home=home.root)
        async with fabric(security) as sentinels, Client(sentinels[0].url, security=security) as client:
            for node_id, sentinel in (("first", sentinels[1]), ("second", sentinels[0])):
                async with asyncio.TaskGroup() as group:
                    serving = group.create_task(
                        serve_agent(
                            Math(),
                            "moves@fame.fabric",
                            sentinel.url,
                            node_id=node_id,
                            options=Options(security=security),
                        )
                    )
                    assert await reached(client, "moves@fame.fabric") == 7
                    serving.cancel()

    asyncio.run(main())


@pytest.mark.parametrize("profile", SECURED)
def test_who_shows_nothing_or_what_is_not_good_is_refused(profile: str, home: Home, tmp_path: Path) -> None:
    async def main() -> None:
        security = SecuritySettings(profile=profile, home=home.root)
        stranger = Home(tmp_path / "other")
        authority = stranger.make_authority("fame.fabric")
        foreign = authority.issue(Grant("c", roles=frozenset({CLIENT})), time.time(), 60)
        async with Sentinel(id="s", listen="127.0.0.1:0", security=security) as sentinel:
            for token in ("", foreign, "a.b.c"):
                shown = SecuritySettings(admission=Admission(token=token))
                with pytest.raises(AdmissionRefused, match="authentication failed"):
                    async with Client(sentinel.url, security=shown):
                        pass

    asyncio.run(main())


def test_an_agent_whose_token_is_not_for_its_address_is_told_which_to_ask_for(home: Home) -> None:
    async def main() -> None:
        security = SecuritySettings(profile="gated", home=home.root)
        authority = home.authority()
        assert authority is not None
        grant = Grant("a1", "a1", roles=frozenset({AGENT}), addresses=("other@fame.fabric",))
        shown = SecuritySettings(admission=Admission(token=authority.issue(grant, time.time(), 60)))
        options = Options(security=shown)
        async with Sentinel(id="s", listen="127.0.0.1:0", security=security) as sentinel:
            with pytest.raises(AdmissionRefused) as caught:
                await asyncio.wait_for(serve_agent(Math(), MATH, sentinel.url, node_id="a1", options=options), 10)
        assert caught.value.hint == (
            "show a token that allows it: fame token issue --node a1 --role agent --address math@fame.fabric"
        )

    asyncio.run(main())


@pytest.mark.parametrize(
    ("denied", "facts"),
    [
        ("connect", "--from c --action connect"),
        (
            "forward_downstream",
            f"--from c --to {MATH} --action forward_downstream",
        ),
    ],
)
def test_who_is_denied_by_a_policy_hears_how_to_find_out_why(denied: str, facts: str, home: Home) -> None:
    rules = [Rule("no", "deny", actions=frozenset({denied}), subject=("c",)), Rule("yes", "allow")]

    async def main() -> None:
        security = SecuritySettings(profile="gated", home=home.root)
        ruled = replace(security, policy=Kept(Policy(rules)))
        async with Sentinel(id="s", listen="127.0.0.1:0", security=ruled) as sentinel:
            options = Options(security=security)
            serving = asyncio.ensure_future(serve_agent(Math(), MATH, sentinel.url, node_id="math", options=options))
            with pytest.raises((AdmissionRefused, PolicyDenied)) as caught:
                async with Client(sentinel.url, node_id="c", security=security) as client:
                    await reached(client)
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        told = str(caught.value)
        assert "the policy of s denies it" in told
        assert told.endswith(
            f"; ask it there: fame policy why --config FILE {facts} --role client --scope node.connect"
        )

    asyncio.run(main())


def test_a_new_credential_keeps_a_link_alive_and_its_calls(home: Home, tmp_path: Path) -> None:
    async def main() -> None:
        security = SecuritySettings(profile="gated", home=home.root)
        authority = home.authority()
        assert authority is not None
        grant = Grant("c", "c", roles=frozenset({CLIENT}))
        file = tmp_path / "c.jwt"
        file.write_text(authority.issue(grant, time.time(), 3))
        shown = SecuritySettings(profile="gated", home=home.root, admission=Admission(token_file=file))
        async with fabric(security, 1) as sentinels, Client(sentinels[0].url, node_id="c", security=shown) as client:
            assert await reached(client) == 7
            node = sentinels[0].node
            before = next(link for link in node.core.table.children.values() if link.remote_id == "c").expires_at
            file.write_text(authority.issue(grant, time.time(), 600))
            async with asyncio.timeout(10):
                while node.core.table.children["c"].expires_at == before:
                    assert await client.call(MATH, "add", x=1, y=1) == 2

    asyncio.run(main())


def test_a_link_whose_credential_has_expired_is_closed(home: Home) -> None:
    async def main() -> None:
        security = SecuritySettings(profile="gated", home=home.root)
        authority = home.authority()
        assert authority is not None
        token = authority.issue(Grant("c", "c", roles=frozenset({CLIENT})), time.time(), 2)
        shown = SecuritySettings(admission=Admission(token=token))
        listening = Sentinel(id="s", listen="127.0.0.1:0", security=security)
        async with listening, Client(listening.url, node_id="c", security=shown), asyncio.timeout(10):
            while "c" in listening.node.core.table.children:
                await listening.node.links_changed()

    asyncio.run(main())


def test_whose_link_it_is_counts_too_when_it_comes_out_only_after_the_upgrade(home: Home) -> None:
    key, now = key_of(), time.time()
    token = sign(key, claims_of(iat=int(now), nbf=int(now), exp=int(now) + 600))
    shown = SecuritySettings(admission=Admission(token=token))

    async def main() -> None:
        async with (
            web_server(lambda *_: http(200, {"keys": [jwk_of(key)]})) as url,
            contextlib.AsyncExitStack() as stack,
        ):
            issuer = Issuer(ISSUER, AUDIENCE, jwks_url=f"{url}/jwks", grant=AGENT_GRANT)
            security = SecuritySettings(profile="gated", home=home.root, issuers=(issuer,))
            made = Sentinel(id="s", listen="127.0.0.1:0", security=security, limits=Limits(links_per_grant=1))
            sentinel = await stack.enter_async_context(made)
            clients = [Client(sentinel.url, node_id=f"c{number}", security=shown) for number in range(3)]
            dials = [stack.enter_async_context(client) for client in clients]
            results = await asyncio.gather(*dials, return_exceptions=True)
            refused = [str(result) for result in results if isinstance(result, ConnectError)]
            told = "takes no link now: client-test has as many links open as limits.links_per_grant allows (1); try"
            assert len(refused) == 2
            assert all(told in each for each in refused)
            assert sentinel.node.link_count() == 1

    asyncio.run(main())


def test_a_certificate_does_in_place_of_a_token(home: Home, tmp_path: Path) -> None:
    authority = CertificateAuthority.load((home.root / "ca.pem").read_bytes(), (home.root / "ca.key").read_bytes())

    def files(name: str) -> Tls:
        keys = home.node_keys(name)
        names = ServerNames(addresses=(ip_address("127.0.0.1"),))
        chain = authority.issue(name, f"/{name}", keys.signing.public_key(), time.time(), names=names)
        (tmp_path / f"{name}.pem").write_text(chain)
        write_file(tmp_path / f"{name}.key", private_pem(keys.signing), PRIVATE)
        return Tls(tmp_path / f"{name}.pem", tmp_path / f"{name}.key", home.root / "ca.pem")

    async def main() -> None:
        roles = frozenset({CLIENT, AGENT, PEER})
        for_tokens = Grant("bad", roles=roles, issuer="https://idp")
        grants = (for_tokens, Grant("good", roles=roles, addresses=("**",)))
        listens = replace(files("s"), clients="required")
        security = SecuritySettings(profile="gated", home=home.root, tls=listens, grants=grants)
        async with Sentinel(id="s", listen="127.0.0.1:0", security=security) as sentinel:
            assert sentinel.url.startswith("wss://")
            async with Client(sentinel.url, node_id="good", security=SecuritySettings(tls=files("good"))) as client:
                assert (await client.ask("fabric.status"))["node"] == "s"
            with pytest.raises(FameError):
                async with Client(sentinel.url, node_id="bad", security=SecuritySettings(tls=files("bad"))):
                    pass

    asyncio.run(main())
