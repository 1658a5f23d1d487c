"""A sentinel shows each peer the credential that is meant for it: two authorities, two sentinels, one link."""

import asyncio
import time
from pathlib import Path

import pytest

from fame_cli.core.grant import PEER, Grant
from fame_cli.core.link import Link
from fame_cli.node.sentinel import Sentinel
from fame_cli.security.authority import Authority
from fame_cli.security.keystore import Home
from fame_cli.security.settings import Admission, SecuritySettings

from .waiting import eventually

pytestmark = pytest.mark.e2e

NAME = Grant("guest", "guest", roles=frozenset({PEER}), prefixes=("**",))


def made(folder: Path) -> tuple[Authority, SecuritySettings]:
    """Make a fabric: its authority, and what its nodes are told."""
    home = Home(folder)
    return home.make_authority("fame.fabric"), SecuritySettings(profile="gated", home=home.root)


def test_a_peer_of_another_authority_is_shown_a_token_of_its_own_and_the_next_one(tmp_path: Path) -> None:
    _, own = made(tmp_path / "own")
    theirs, there = made(tmp_path / "theirs")
    file = tmp_path / "guest.jwt"
    file.write_text(theirs.issue(NAME, time.time(), 600))

    async def main() -> None:
        async with Sentinel(id="host", listen="127.0.0.1:0", security=there) as host:
            security = SecuritySettings(
                profile="gated", home=own.home, peers={host.peer_url: Admission(token_file=file)}
            )
            guest = Sentinel(id="guest", listen="127.0.0.1:0", peers=[host.peer_url], security=security)
            async with guest:
                await asyncio.wait_for(guest.ready(), 10)
                link: Link = host.node.core.table.peers["guest"]
                first = link.grant
                assert first is not None
                assert (first.subject, first.issuer) == ("guest", theirs.issuer)
                file.write_text(theirs.issue(NAME, time.time(), 900))

                async def renewed() -> bool | None:
                    return (link.grant is not None and link.grant.token_id != first.token_id) or None

                await eventually(renewed, within_s=10)
                assert host.node.core.table.peers["guest"] is link

    asyncio.run(main())


def test_without_it_the_peer_is_shown_what_everybody_is_and_refuses(tmp_path: Path) -> None:
    _, own = made(tmp_path / "own")
    _, there = made(tmp_path / "theirs")

    async def main() -> None:
        listening = Sentinel(id="host", listen="127.0.0.1:0", security=there)
        async with listening as host, Sentinel(listen="127.0.0.1:0", peers=[host.peer_url], security=own) as guest:

            async def refused() -> str | None:
                return guest.node.dialing.get(host.peer_url, (None, None))[1]

            assert "refused" in await eventually(refused, within_s=10)

    asyncio.run(main())


def test_what_everybody_is_shown_anew_does_not_go_to_a_peer_with_a_token_of_its_own(tmp_path: Path) -> None:
    authority, own = made(tmp_path / "own")
    theirs, there = made(tmp_path / "theirs")
    file = tmp_path / "own.jwt"
    file.write_text(authority.issue(NAME, time.time(), 600))
    shown = Admission(token=theirs.issue(NAME, time.time(), 600))

    async def main() -> None:
        listening = Sentinel(id="host", listen="127.0.0.1:0", security=there)
        near = Sentinel(id="near", listen="127.0.0.1:0", security=own)
        async with listening as host, near:
            everybody = Admission(token_file=file)
            security = SecuritySettings(
                profile="gated", home=own.home, admission=everybody, peers={host.peer_url: shown}
            )
            urls = [host.peer_url, near.peer_url]
            async with Sentinel(id="guest", listen="127.0.0.1:0", peers=urls, security=security) as guest:
                await asyncio.wait_for(guest.ready(), 10)
                link, other = host.node.core.table.peers["guest"], near.node.core.table.peers["guest"]
                before, first = link.grant, other.grant
                file.write_text(authority.issue(NAME, time.time(), 900))

                async def renewed() -> bool | None:
                    return other.grant is not first or None

                await eventually(renewed, within_s=10)
                assert link.grant is before
                assert host.node.core.table.peers["guest"] is link

    asyncio.run(main())


def test_an_audit_log_is_kept_in_the_open_profile_too(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"

    async def main() -> None:
        listening = Sentinel(id="s1", listen="127.0.0.1:0", security=SecuritySettings(audit=file))
        async with listening as first, Sentinel(listen="127.0.0.1:0", peers=[first.peer_url]) as second:
            await asyncio.wait_for(second.ready(), 10)

    asyncio.run(main())
    assert "link_attached" in file.read_text(encoding="utf-8")
