"""The stages that the hostile tests play on: one a profile, for as long as tests in that profile last."""

from collections.abc import Iterator

import pytest
from hostile_rig import Stage


@pytest.fixture(scope="session")
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Give a fabric with innocent neighbours, in the profile a test names (`hostile_rig.against`)."""
    made = Stage(request.param, tmp_path_factory.mktemp(request.param))
    try:
        yield made.start()
    finally:
        made.close()
