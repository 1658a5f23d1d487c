"""The file of a store: who may have it, what is refused, and what is in it after a kill or a full disk."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from store_rig import message

from fame_cli.core.message import IN
from fame_cli.errors import ConfigError, StoreFull
from fame_cli.store.database import VERSION, Database
from fame_cli.store.medium import Put, Remove
from fame_cli.store.store import Store

KEEPER = Path(__file__).with_name("keeper.py")
LOAD_S = 5.0
"""Seconds within which a node with 100,000 messages has to have them."""


def damage(path: Path, at: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(b"\xff" * 4096)


def filled(path: Path, count: int) -> None:
    database = Database(path)
    database.apply([Put(message(str(number), IN, lane="x", seq=number + 1)) for number in range(count)])
    database.close()


def test_the_file_and_those_beside_it_are_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        database = Database(tmp_path / "new" / "folder" / "fame.db")
        database.apply([Put(message("a"))])
        files = list((tmp_path / "new" / "folder").iterdir())
        assert {file.name for file in files} == {"fame.db", "fame.db-wal"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE((tmp_path / "new" / "folder").stat().st_mode) == 0o700
        database.close()
    finally:
        os.umask(old)


def test_what_was_written_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    filled(tmp_path / "fame.db", 3)
    database = Database(tmp_path / "fame.db")
    kept = database.read()
    assert [each.id for each in kept.messages] == ["0", "1", "2"]
    assert kept.lanes == {"x": 3}
    database.close()


def test_a_file_is_one_process_s_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "fame.db"
    first = Database(path)
    with pytest.raises(ConfigError) as caught:
        Database(path, wait_s=0.0)
    assert str(caught.value) == f"{path}: another process uses it; stop that one, or name another file"
    first.apply([Put(message("a"))])
    with pytest.raises(ConfigError, match="another process uses it"):
        Database(path, wait_s=0.0)
    first.close()
    Database(path, wait_s=0.0).close()


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fame.db"
    filled(path, 1)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match=f"fame.db: others can read this file; chmod 600 {path}"):
        Database(path)


def test_a_folder_that_others_may_write_in_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match=f"others may write in this folder; chmod 700 {tmp_path}"):
        Database(tmp_path / "fame.db")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a file; name a file"):
        Database(tmp_path)


def test_a_place_where_nothing_can_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ConfigError, match=r"x.db: can't be made: (not a directory|file exists); name a file in a folder"
    ):
        Database(tmp_path / "file" / "x.db")


def test_what_is_no_database_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "fame.db"
    path.touch(0o600)
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(ConfigError) as caught:
        Database(path)
    assert str(caught.value).startswith(f"{path}: damaged: ")
    assert str(caught.value).endswith("; put a copy back, or move it away to begin with an empty one")
    assert "\n" not in str(caught.value)


def test_a_file_damaged_in_its_middle_is_told_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "fame.db"
    filled(path, 1_000)
    damage(path, path.stat().st_size // 2 // 4096 * 4096)

    async def check() -> None:
        async with Store.open(path) as store:
            with pytest.raises(ConfigError, match=r"fame.db: damaged: .*; put a copy back"):
                await store.load()

    asyncio.run(check())


def test_a_file_can_be_looked_through_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "fame.db"
    filled(path, 1_000)
    database = Database(path)
    database.check()
    database.close()
    damage(path, path.stat().st_size // 2 // 4096 * 4096)
    database = Database(path)
    with pytest.raises(ConfigError, match=r"fame.db: damaged: .*; put a copy back") as caught:
        database.check()
    database.close()
    assert "\n" not in str(caught.value)


def test_a_file_damaged_while_it_is_used_is_told_when_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "fame.db"
    filled(path, 1_000)
    database = Database(path)
    for page in range(2, path.stat().st_size // 4096):
        damage(path, page * 4096)
    with pytest.raises(StoreFull, match=r"fame.db: damaged: .*; stop the node, put a copy back, or move the file away"):
        database.apply([Remove(IN, str(number)) for number in range(1_000)])
    database.close()


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "fame.db"
    filled(path, 1)
    sql = sqlite3.connect(path)
    sql.execute(f"PRAGMA user_version = {VERSION + 1}")
    sql.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError) as caught:
        Database(path)
    told = f"made by a later fame (version {VERSION + 1} of {VERSION}); update fame, or name another file"
    assert str(caught.value) == f"{path}: {told}"
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    path.touch(0o600)
    sql = sqlite3.connect(path)
    sql.execute("CREATE TABLE x (y)")
    sql.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="a database of another program; name another file"):
        Database(path)
    assert path.read_bytes() == before


def test_a_batch_that_can_not_be_made_leaves_nothing_of_itself(tmp_path: Path) -> None:
    database = Database(tmp_path / "fame.db")
    with pytest.raises(Exception, match="can't be stored"):
        database.apply([Put(message("a")), Put(message("b", seq=2**63))])
    assert database.read().messages == []
    database.close()


def test_what_was_done_is_there_after_a_kill(tmp_path: Path) -> None:
    """The process is killed with 64 puts on their way, three times, each on what the one before left."""
    path, told = tmp_path / "fame.db", set()
    for _ in range(3):
        with subprocess.Popen([sys.executable, KEEPER, path], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told |= {process.stdout.readline().strip() for _ in range(500)}
            process.kill()
            told |= {line.strip() for line in process.stdout if line.endswith("\n")}
    database = Database(path)
    assert told - {each.id for each in database.read().messages} == set()
    assert "failed" not in told
    database.close()


def test_a_full_disk_is_told_and_writing_goes_on_once_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "fame.db"
    command = [sys.executable, KEEPER, path, str(300_000)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    kept = [line for line in said if line.isdigit()]
    told = [line for line in said if not line.isdigit()]
    assert len(kept) > 10
    assert told[0] == "trouble"
    assert told[1].startswith(f"{path}: ")
    assert "disk" in told[1]
    assert told[2] == told[1]  # what nobody waits for is owed
    assert sorted(told[3:]) == ["after None", "fine"]
    database = Database(path)
    assert {each.id for each in database.read().messages} == {*kept, "-1", "-2"} - {"0"}
    database.close()


def test_a_hundred_thousand_messages_are_there_within_seconds(tmp_path: Path) -> None:
    filled(tmp_path / "fame.db", 100_000)

    async def check() -> None:
        began = time.monotonic()
        async with Store.open(tmp_path / "fame.db") as store:
            assert len((await store.load()).messages) == 100_000
            assert time.monotonic() - began < LOAD_S

    asyncio.run(check())
