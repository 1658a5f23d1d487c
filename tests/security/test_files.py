"""Files of secrets: what can't be written, and how that is told. The rest shows in `test_keystore.py`."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fame_cli.errors import ConfigError
from fame_cli.security.files import MAX_FILE_BYTES, PRIVATE, content_of, locked, put, read_file, read_json, write_json
from fame_cli.security.jwks import read_key_file


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


@pytest.mark.parametrize("read", [lambda path: read_file(path, PRIVATE), read_key_file])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_at_once(
    read: Callable[[Path], object], make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "x.json")
    with pytest.raises(ConfigError, match=r"x.json: can't be read: (not a regular file|is a directory)"):
        read(tmp_path / "x.json")


def test_a_link_is_followed_only_where_a_user_may_have_made_it(tmp_path: Path) -> None:
    path, link = tmp_path / "x", tmp_path / "link"
    put(path, b"there")
    link.symlink_to(path)
    assert content_of(link) == b"there"
    with pytest.raises(OSError, match="symbolic links"):
        content_of(link, follow=False)
    with pytest.raises(OSError, match="too large"):
        content_of(path, max_bytes=4)


def test_a_file_is_written_in_the_place_of_a_link_and_not_where_it_leads(tmp_path: Path) -> None:
    path, victim = tmp_path / "x", tmp_path / "victim"
    victim.write_text("precious")
    path.symlink_to(victim)
    put(path, b"new", lasts=False)
    assert (path.read_bytes(), victim.read_text()) == (b"new", "precious")
    assert path.lstat().st_mode & 0o777 == PRIVATE
    assert sorted(each.name for each in tmp_path.iterdir()) == ["victim", "x"]


def test_a_lock_is_no_link(tmp_path: Path) -> None:
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="can't be written to"), locked(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()
