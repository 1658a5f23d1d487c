"""Who answers at a node: address → service, exact first, then the pools an address falls under."""

from fame_cli.core.address import parse, pool_matches
from fame_cli.node.roles import Service

__all__ = ["Services"]


class Services:
    """Know which service answers for which address."""

    def __init__(self) -> None:
        self._services: dict[str, Service] = {}

    def add(self, name: str, service: Service) -> None:
        """Have `service` answer for an address, a pool, or a participant at the node's physical path."""
        self._services[name] = service

    def remove(self, name: str) -> None:
        """Undo `add`."""
        del self._services[name]

    def are_idle(self) -> bool:
        """Tell whether none of them has anything to do."""
        return all(service.is_idle() for service in self._services.values())

    def find(self, address: str) -> Service | None:
        """Return who answers for an address, None for nobody."""
        service = self._services.get(address)
        if service is not None:
            return service
        wanted = parse(address)
        if wanted.path:
            return self._services.get(wanted.participant)
        for name, candidate in self._services.items():
            pattern = parse(name) if "@*." in name else None
            if pattern and pattern.participant == wanted.participant and pool_matches(pattern.host, wanted.host):
                return candidate
        return None
