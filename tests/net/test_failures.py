"""What is said when a link can't be dialled."""

import errno
import os

import pytest

from fame_cli.net import failures

URL = "ws://127.0.0.1:8000/fame/v1/attach/ws/downstream"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_too_many_open_files_are_no_reason_to_doubt_the_url(number: int) -> None:
    assert str(failures.unreachable(URL, OSError(number, os.strerror(number)))) == (
        "can't connect to 127.0.0.1:8000: as many files are open as the system allows; "
        "raise the limit (ulimit -n), or have fewer links"
    )
