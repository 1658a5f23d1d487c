"""Which node a word means: held against real sentinels."""

import pytest
from host_rig import Work
from node_rig import MATH, bounded, serving, until

from fame_cli.cli.places import node_path_of
from fame_cli.core.custody import Mailbox
from fame_cli.errors import NoRoute
from fame_cli.node.client import Client
from fame_cli.node.sentinel import Sentinel


def test_an_agent_is_found_by_its_address_at_any_sentinel_and_a_mailbox_is_not_it() -> None:
    async def main() -> None:
        boxes = [Mailbox(MATH), Mailbox("away@fame.fabric")]
        async with (
            Sentinel(id="s2", listen="127.0.0.1:0", mailboxes=boxes) as far,
            Sentinel(id="s1", listen="127.0.0.1:0", peers=[far.peer_url], mailboxes=boxes) as near,
            serving(Work(), far.url),
            Client(near.url) as client,
        ):
            await until(lambda: near.node.core.table.way_to(MATH) is not None)
            assert await node_path_of(client, MATH) == "/s2/agent"
            assert await node_path_of(client, "s2") == "/s2"
            assert await node_path_of(client, "/x/y") == "/x/y"
            assert await node_path_of(client, None) is None
            async with Client(far.url) as other:
                assert await node_path_of(other, MATH) == "/s2/agent"
            with pytest.raises(NoRoute, match="nobody serves away@"):
                await node_path_of(client, "away@fame.fabric")

    bounded(main())
