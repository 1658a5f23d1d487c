"""Who answers for an address: the exact name, a participant at a physical path, else a pool it falls under."""

import pytest

from fame_cli.core.calls import CallKey
from fame_cli.core.effects import Request
from fame_cli.node.services import Services


class Named:
    """Be a service that is told apart by its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def dispatch(self, request: Request) -> None:
        """Take nothing."""

    def dispatch_cancelled(self, key: CallKey, reason: str) -> None:
        """Take nothing."""

    def flow_opened(self, key: CallKey) -> None:
        """Take nothing."""

    def is_idle(self) -> bool:
        return True


def serving(*names: str) -> Services:
    services = Services()
    for name in names:
        services.add(name, Named(name))
    return services


def found(services: Services, address: str) -> str:
    service = services.find(address)
    assert service is None or isinstance(service, Named)
    return "" if service is None else service.name


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("math@east.fame.fabric", "math@east.fame.fabric"),
        ("math@west.fame.fabric", "math@*.fame.fabric"),
        ("math@fame.elsewhere", ""),
        ("text@west.fame.fabric", ""),
        ("__sys__@/s1", "__sys__"),
        ("math@/s1", ""),
    ],
)
def test_the_nearest_name_answers(address: str, name: str) -> None:
    services = serving("math@*.fame.fabric", "math@east.fame.fabric", "__sys__")
    assert found(services, address) == name


def test_a_service_that_is_removed_answers_no_more() -> None:
    services = serving("math@*.fame.fabric", "math@east.fame.fabric")
    services.remove("math@east.fame.fabric")
    assert found(services, "math@east.fame.fabric") == "math@*.fame.fabric"
    services.remove("math@*.fame.fabric")
    assert found(services, "math@east.fame.fabric") == ""
