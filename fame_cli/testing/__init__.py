"""Tools for testing with the fabric, shipped to users: cores joined without a network, on virtual time."""

from fame_cli.testing.sim import SimNode, SimWorld

__all__ = ["SimNode", "SimWorld"]
