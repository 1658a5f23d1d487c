"""Files of secrets: what can't be written, and how that is told. The rest shows in `test_keystore.py`."""

from pathlib import Path

import pytest

from fame_cli.errors import ConfigError
from fame_cli.security.files import MAX_FILE_BYTES, PRIVATE, locked, read_json, write_json


def test_a_folder_that_is_gone_is_an_error_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none/x.json: can't be written: no such file or directory"):
        write_json(tmp_path / "none" / "x.json", {}, PRIVATE)
    with (
        pytest.raises(ConfigError, match=r"none: can't be written to: no such file or directory"),
        locked(tmp_path / "none"),
    ):
        pass


def test_a_name_as_long_as_a_node_id_has_room_for_the_fresh_file(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 250}"
    write_json(path, {"a": 1}, PRIVATE)
    assert read_json(path, PRIVATE) == {"a": 1}


def test_no_more_is_read_than_any_file_of_ours_has(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    path.touch(PRIVATE)
    path.write_text('"' + "x" * MAX_FILE_BYTES + '"')
    with pytest.raises(ConfigError, match="not JSON"):
        read_json(path, PRIVATE)
