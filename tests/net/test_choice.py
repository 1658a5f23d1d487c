"""Which library carries the links: the one asked for, or the fastest there is."""

import asyncio
import subprocess
import sys

import pytest

from fame_cli.errors import ConfigError
from fame_cli.net.choice import network
from fame_cli.node.options import Options
from fame_cli.node.runner import Node


@pytest.fixture
def without_picows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have imports as where the extra isn't installed."""
    monkeypatch.setitem(sys.modules, "picows", None)
    monkeypatch.delitem(sys.modules, "fame_cli.net.picows_ends", raising=False)
    monkeypatch.delattr("fame_cli.net.picows_ends", raising=False)


@pytest.mark.parametrize(("name", "used"), [("websockets", "websockets"), ("picows", "picows"), ("auto", "picows")])
def test_the_library_that_was_asked_for_is_used(name: str, used: str) -> None:
    assert network(name).name == used


@pytest.mark.usefixtures("without_picows")
def test_without_the_extra_auto_takes_websockets() -> None:
    assert network("auto").name == "websockets"


@pytest.mark.usefixtures("without_picows")
def test_asking_for_what_is_not_installed_says_how_to_get_it() -> None:
    with pytest.raises(ConfigError, match=r"transport picows can't be used.*extra `fast` \(pip install picows\)"):
        network("picows")


def test_a_name_that_is_none_is_told_the_ones_there_are() -> None:
    with pytest.raises(ConfigError, match="unknown transport 'tcp'; use auto, websockets, picows"):
        network("tcp")


@pytest.mark.parametrize(("name", "other"), [("picows", "websockets"), ("websockets", "picows")])
def test_only_the_library_that_is_used_is_imported(name: str, other: str) -> None:
    code = f"import sys; from fame_cli.net.choice import network; network({name!r}); print({other!r} in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


@pytest.mark.parametrize("name", ["websockets", "picows"])
def test_a_node_uses_the_library_it_is_given(name: str) -> None:
    async def main() -> None:
        async with Node("n", options=Options(transport=name)) as node:
            assert node.network.name == name

    asyncio.run(main())
