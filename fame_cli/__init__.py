"""fame: run and call agents over a peer-to-peer fabric.

    from fame_cli import Agent, Client, FameError, Sentinel, operation, task, this_task

Names are imported when they are first used, so that ``fame --help`` stays quick.
"""

from typing import TYPE_CHECKING

from fame_cli.errors import FameError
from fame_cli.version import VERSION

if TYPE_CHECKING:
    from fame_cli.node.agent import Agent, operation, task
    from fame_cli.node.client import Client
    from fame_cli.node.sentinel import Sentinel
    from fame_cli.node.task import this_task
    from fame_cli.node.timeleft import time_left

__all__ = ["VERSION", "Agent", "Client", "FameError", "Sentinel", "operation", "task", "this_task", "time_left"]

_HOMES = {
    "Agent": "fame_cli.node.agent",
    "operation": "fame_cli.node.agent",
    "Client": "fame_cli.node.client",
    "Sentinel": "fame_cli.node.sentinel",
    "time_left": "fame_cli.node.timeleft",
    "task": "fame_cli.node.agent",
    "this_task": "fame_cli.node.task",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use (PEP 562).

    Raises:
        AttributeError: there is no such name.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # only for whoever asks

    value: object = vars(import_module(_HOMES[name]))[name]
    globals()[name] = value
    return value
