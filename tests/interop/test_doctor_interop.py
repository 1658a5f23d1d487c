"""What `fame doctor` says of real Naylence sentinels: that it gets in as a node would, and that they are plain."""

import pytest
from interop_nodes import FabricMaker
from test_security_profiles import secured


@pytest.mark.parametrize("profile", ["open", "gated", "overlay"])
def test_a_naylence_sentinel_is_reached_and_told_from_ours(profile: str, new_fabric: FabricMaker) -> None:
    fabric = new_fabric() if profile == "open" else secured(new_fabric, profile)
    sentinel = fabric.naylence_sentinel("theirs").wait()
    found = fabric.run("doctor", "--url", sentinel.url, "--timeout", "20", "-o", "json").value
    told = {(each["check"], each["state"]): each["what"] for each in found}
    assert {each["state"] for each in found} == {"ok"}, found
    assert told["reach", "ok"].endswith("can't be asked how it is: a plain Naylence one")
    assert "is a plain Naylence node" in told["versions", "ok"]


def test_a_naylence_sentinel_that_wants_a_token_refuses_a_node_without(new_fabric: FabricMaker) -> None:
    fabric = secured(new_fabric, "gated")
    sentinel = fabric.naylence_sentinel("theirs").wait()
    fabric.ours = {}
    done = fabric.run("doctor", "--url", sentinel.url, "--timeout", "20", "-o", "json")
    assert (done.code, '"check": "reach"' in done.out) == (4, True), done.out
