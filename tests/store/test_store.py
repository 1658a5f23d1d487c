"""The store: what is kept, in which order, when `done` is called, and what a failure does. In memory as in a file."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import waiting
from store_rig import Told, message

from fame_cli.core.message import DEAD, IN, OUT, Message
from fame_cli.errors import FameError, StoreFull
from fame_cli.store import store as module
from fame_cli.store.medium import Change, Kept, Put, Remove, Saw
from fame_cli.store.memory import Memory
from fame_cli.store.store import Store


@pytest.fixture(params=["memory", "file"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Name what keeps the messages."""
    return tmp_path / "fame.db" if request.param == "file" else None


def test_a_message_comes_back_as_it_was_put(path: Path | None) -> None:
    async def check() -> None:
        kept = [message("a"), message("b", IN, lane=""), message("c", DEAD, mailbox=False, payload=b"\xff\x00")]
        async with Store.open(path) as store:
            for each in kept:
                store.put(each)
            assert (await store.load()).messages == kept

    asyncio.run(check())


def test_messages_come_back_in_the_order_they_were_first_put(path: Path | None) -> None:
    async def check() -> None:
        async with Store.open(path) as store:
            for name in "badc":
                store.put(message(name))
            store.put(message("b", attempts=9))
            store.remove(OUT, "a")
            store.put(message("a"))
            kept = (await store.load()).messages
        assert [each.id for each in kept] == ["b", "d", "c", "a"]
        assert kept[0].attempts == 9

    asyncio.run(check())


def test_a_message_is_known_by_its_box_and_its_id(path: Path | None) -> None:
    async def check() -> None:
        async with Store.open(path) as store:
            store.put(message("a", OUT))
            store.put(message("a", IN))
            store.remove(OUT, "a")
            store.remove(OUT, "never there")
            assert [each.box for each in (await store.load()).messages] == [IN]

    asyncio.run(check())


def test_a_moved_message_is_in_its_new_box_alone(path: Path | None) -> None:
    async def check() -> None:
        async with Store.open(path) as store:
            store.put(message("a", OUT))
            store.move(message("a", DEAD, origin=OUT), OUT)
            assert [(each.box, each.origin) for each in (await store.load()).messages] == [(DEAD, OUT)]

    asyncio.run(check())


def test_a_lane_keeps_the_last_place_that_was_taken_in_it(path: Path | None) -> None:
    async def check() -> None:
        async with Store.open(path) as store:
            store.put(message("a", IN, lane="x", seq=1))
            store.put(message("b", IN, lane="x", seq=2))
            store.put(message("a", IN, lane="x", seq=1, attempts=1))  # its handler failed: the lane is further
            store.put(message("c", IN, lane="y", seq=5))
            store.put(message("d", OUT, lane="z", seq=9))
            store.remove(IN, "b")
            assert (await store.load()).lanes == {"x": 2, "y": 5}

    asyncio.run(check())


def test_ids_of_messages_without_a_lane_are_remembered_with_them(path: Path | None) -> None:
    async def check() -> None:
        async with Store.open(path) as store:
            store.put(message("a", IN, lane="", stored_at=1.0))
            store.put(message("a", IN, lane="", stored_at=9.0))
            store.put(message("b", IN, lane="x"))
            store.saw("c", 3.0)
            assert (await store.load()).seen == {"a": 1.0, "c": 3.0}

    asyncio.run(check())


def test_done_is_called_in_the_order_of_the_changes_and_not_in_their_turn(path: Path | None) -> None:
    async def check() -> None:
        told = Told()
        async with Store.open(path) as store:
            store.put(message("a"), told.about("put"))
            store.remove(OUT, "a", told.about("remove"))
            store.saw("b", 1.0, told.about("saw"))
            store.put(message("c"))
            store.move(message("c", DEAD), OUT, told.about("move"))
            assert told.results == []
            await store.flush()
            assert told.names == ["put", "remove", "saw", "move"]

    asyncio.run(check())


def test_a_batch_has_a_bound_and_the_order_holds_beyond_it(path: Path | None) -> None:
    async def check() -> None:
        told = Told()
        names = [str(number) for number in range(2 * module.MAX_BATCH + 1)]
        async with Store.open(path) as store:
            for name in names:
                store.put(message(name), told.about(name))
            await store.flush()
            assert told.names == names
            assert [each.id for each in (await store.load()).messages] == names

    asyncio.run(check())


def test_what_was_put_is_kept_when_the_store_is_closed_at_once(tmp_path: Path) -> None:
    async def check() -> None:
        told = Told()
        async with Store.open(tmp_path / "fame.db") as store:
            store.put(message("a"), told.about("a"))
        await asyncio.sleep(0)
        assert told.names == ["a"]
        async with Store.open(tmp_path / "fame.db") as store:
            assert [each.id for each in (await store.load()).messages] == ["a"]

    asyncio.run(check())


def test_nothing_survives_in_memory() -> None:
    async def check() -> None:
        async with Store.open(None) as store:
            store.put(message("a"))
        async with Store.open(None) as store:
            assert (await store.load()) == Kept()

    asyncio.run(check())


@pytest.mark.parametrize("changes", [{"seq": 2**63}, {"sender": "\ud800"}, {"stored_at": float("nan")}])
def test_what_no_file_takes_is_told_and_what_is_beside_it_is_kept(tmp_path: Path, changes: dict[str, object]) -> None:
    async def check() -> None:
        told = Told()
        async with Store.open(tmp_path / "fame.db") as store:
            store.put(message("a"), told.about("a"))
            store.put(message("b", **changes), told.about("b"))
            store.put(message("c"), told.about("c"))
            store.put(message("d", **changes))
            await store.flush()  # nothing is owed that could never be written
            assert [name for name, _ in told.results] == ["a", "b", "c"]
            assert "a message that can't be stored" in str(told.failures["b"])
            assert [each.id for each in (await store.load()).messages] == ["a", "c"]

    asyncio.run(check())


def test_too_much_that_waits_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        told = Told()
        async with Store.open(tmp_path / "fame.db") as store:
            store.put(message("a"), told.about("a"))
            store.put(message("b"), told.about("b"))
            store.put(message("c"))  # of one that is there already, as far as a store can tell
            await store.flush()
            assert [name for name, _ in told.results] == ["b", "a"]
            assert str(told.failures["b"]) == "too many messages wait for the disk; send less at once"
            assert [each.id for each in (await store.load()).messages] == ["a", "c"]
            store.put(message("d"), told.about("d"))
            await store.flush()
            assert told.names == ["a", "d"]

    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 1)
    asyncio.run(check())


class Disk(Memory):
    """Keep messages in memory as long as there is room, as a disk does.

    Attributes:
        is_full: True makes every change fail; a message id makes those of that message fail.
        tries: how often something was to be written.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_full: bool | str = False
        self.tries = 0

    def apply(self, changes: Sequence[Change]) -> None:
        self.tries += 1
        if self.is_full is True or any(self.is_full == about(change) for change in changes):
            raise StoreFull("no room")
        super().apply(changes)


def about(change: Change) -> str:
    return change.message.id if isinstance(change, Put) else change.id


def ids(disk: Disk) -> list[str]:
    return [each.id for each in disk.read().messages]


def test_what_can_not_be_written_is_told_and_what_is_queued_with_it_is_kept() -> None:
    async def check() -> None:
        told, disk = Told(), Disk()
        store = Store(disk, None, None)
        disk.is_full = "c"
        for name in "abcde":
            store.put(message(name), told.about(name))
        await store.flush()
        assert [name for name, _ in told.results] == list("abcde")
        assert told.failures.keys() == {"c"}
        assert ids(disk) == list("abde")
        disk.is_full = False
        store.put(message("c"), told.about("c again"))
        await store.flush()
        assert told.names[-1] == "c again"

    asyncio.run(check())


def test_a_change_nobody_waits_for_is_tried_again_before_what_comes_later() -> None:
    async def check() -> None:
        told, disk = Told(), Disk()
        store = Store(disk, None, None)
        store.put(message("a"))
        await store.flush()
        disk.is_full = True
        store.remove(OUT, "a")
        with pytest.raises(StoreFull, match="no room"):
            await store.flush()
        disk.is_full = False
        store.put(message("b"), told.about("b"))
        await store.flush()
        assert ids(disk) == ["b"]

    asyncio.run(check())


def test_a_later_change_of_the_same_message_makes_an_owed_one_needless() -> None:
    async def check() -> None:
        disk = Disk()
        store = Store(disk, None, None)
        disk.is_full = "a"
        store.put(message("a"))
        with pytest.raises(StoreFull):
            await store.flush()
        store.remove(OUT, "a")
        with pytest.raises(StoreFull):
            await store.flush()
        disk.is_full = False
        store.saw("b", 1.0)
        await store.flush()
        assert ids(disk) == []
        tries = disk.tries
        await store.flush()
        assert disk.tries == tries + 1  # nothing is owed any more: only the empty change of `flush` itself

    asyncio.run(check())


def test_a_move_that_failed_is_owed_as_a_whole() -> None:
    async def check() -> None:
        disk = Disk()
        store = Store(disk, None, None)
        store.put(message("a", OUT))
        await store.flush()
        disk.is_full = True
        store.move(message("a", DEAD), OUT)
        with pytest.raises(StoreFull):
            await store.flush()
        assert [each.box for each in disk.read().messages] == [OUT]
        disk.is_full = False
        await store.flush()
        assert [each.box for each in disk.read().messages] == [DEAD]

    asyncio.run(check())


def test_a_change_nobody_waits_for_is_written_with_the_next_that_somebody_does() -> None:
    async def check() -> None:
        told, disk = Told(), Disk()
        store = Store(disk, None, None)
        store.put(message("a"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert disk.tries == 0
        store.put(message("b"), told.about("b"))
        store.remove(OUT, "a")
        await store.flush()
        assert disk.tries == 1
        assert ids(disk) == ["b"]

    asyncio.run(check())


def test_a_change_nobody_waits_for_is_written_by_itself_a_moment_later() -> None:
    async def check() -> None:
        told, disk = Told(), Disk()
        store = Store(disk, None, None)

        async def is_gone() -> bool | None:
            return None if ids(disk) else True

        store.put(message("a"), lambda _: store.remove(OUT, "a"))  # asked for while another is written
        assert await waiting.eventually(is_gone, within_s=5)
        store.put(message("b"), told.about("b"))
        await store.flush()
        store.remove(OUT, "b")
        assert await waiting.eventually(is_gone, within_s=5)

    asyncio.run(check())


def test_what_is_owed_is_tried_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        disk, fine = Disk(), asyncio.Event()
        store = Store(disk, None, lambda error: None if error else fine.set())
        disk.is_full = True
        store.saw("a", 1.0)
        with pytest.raises(StoreFull):
            await store.flush()
        disk.is_full = False
        async with asyncio.timeout(10):
            await fine.wait()
        assert disk.read().seen == {"a": 1.0}

    monkeypatch.setattr(module, "RETRY_S", 0.0)
    asyncio.run(check())


def test_trouble_is_told_once_and_so_is_its_end() -> None:
    async def check() -> None:
        disk = Disk()
        news: list[FameError | None] = []
        store = Store(disk, None, news.append)
        disk.is_full = True
        for name in "ab":
            store.put(message(name), lambda error: None)
            await store.flush()
        disk.is_full = False
        for name in "ab":
            store.put(message(name), lambda error: None)
            await store.flush()
        assert [str(each) for each in news] == ["no room", "None"]

    asyncio.run(check())


def test_owed_changes_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        disk = Disk()
        store = Store(disk, None, None)
        disk.is_full = True
        for name in "abc":
            store.saw(name, 1.0)
        with pytest.raises(StoreFull):
            await store.flush()
        disk.is_full = False
        await store.flush()
        assert disk.read().seen.keys() == {"b", "c"}

    monkeypatch.setattr(module, "MAX_OWED", 2)
    asyncio.run(check())


class Broken(Memory):
    """Fail in a way nobody thought of."""

    def apply(self, changes: Sequence[Change]) -> None:
        raise RuntimeError("a secret")


def test_a_fault_of_ours_is_told_as_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def check() -> None:
        told = Told()
        async with Store.open(tmp_path / "fame.db") as store:
            store.put(message("a"), told.about("a"))
            await store.flush()
        assert str(told.failures["a"]) == "a store failed: RuntimeError; please report it"

    monkeypatch.setattr(module, "_open", lambda path: Broken())
    asyncio.run(check())


def test_what_is_too_old_or_too_much_is_forgotten_and_messages_are_not(path: Path | None) -> None:
    from fame_cli.store.database import Database

    medium = Database(path) if path else Memory()
    day = 86_400.0
    medium.apply([Saw("old", 1.0), Saw("new", day), Put(message("m", IN, lane="old", stored_at=1.0))])
    medium.apply([Put(message("n", IN, lane="new", stored_at=95 * day)), Remove(IN, "n")])
    medium.forget(day + 2.0)
    assert medium.read().seen == {"new": day}
    medium.forget(92 * day)
    assert medium.read().lanes == {"new": 7}
    assert [each.id for each in medium.read().messages] == ["m"]
    medium.close()


@pytest.mark.parametrize("name", ["memory", "database"])
def test_no_more_ids_and_lanes_are_remembered_than_the_bounds_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fame_cli.store import database, memory

    monkeypatch.setattr(memory, "MAX_SEEN", 2)
    monkeypatch.setattr(memory, "MAX_LANES", 2)
    first, _, third, last = database._FORGET
    monkeypatch.setattr(database, "_FORGET", (first, (_[0], 2), third, (last[0], 2)))
    medium = Memory() if name == "memory" else database.Database(tmp_path / "fame.db")
    medium.apply([Saw(each, 10.0) for each in "abc"])
    medium.apply([Put(message(each, IN, lane=each, stored_at=at)) for each, at in (("x", 9.0), ("y", 3.0), ("z", 5.0))])
    medium.forget(11.0)
    assert medium.read().seen.keys() == {"b", "c"}
    assert medium.read().lanes.keys() == {"x", "z"}
    medium.close()


def test_a_full_database_is_told_as_a_full_disk() -> None:
    from fame_cli.store.database import told

    sql = sqlite3.connect(":memory:")
    sql.execute("PRAGMA max_page_count = 2")
    sql.execute("CREATE TABLE x (y)")
    with pytest.raises(sqlite3.OperationalError) as caught:
        sql.execute("INSERT INTO x VALUES (zeroblob(100000))")
    sql.close()
    error = told(caught.value, Path("fame.db"))
    assert isinstance(error, StoreFull)
    assert str(error) == "fame.db: the disk is full; make room: it is written again as soon as there is some"


def test_behind_a_message_that_failed_its_lane_takes_nothing_before_that_has_been_told(tmp_path: Path) -> None:
    async def main() -> None:
        told: list[tuple[str, bool]] = []
        async with Store.open(None) as store:
            medium = Failing(store)
            for number in (1, 2, 3):
                store.put(arrival("c/1", number), partial(note, told, f"c{number}"))
                store.put(arrival("d/1", number), partial(note, told, f"d{number}"))
            medium.refuse = {"c/1-2"}
            await store.flush()
            assert told == [("c1", True), ("d1", True), ("c2", False), ("d2", True), ("c3", False), ("d3", True)]
            medium.refuse.clear()
            store.put(arrival("c/1", 3), partial(note, told, "again"))  # its sender knows by now
            kept = await store.load()
        assert kept.lanes == {"c/1": 3, "d/1": 3}
        assert told[-1] == ("again", True)

    asyncio.run(main())


def test_what_waits_behind_a_message_that_failed_fails_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        told: list[tuple[str, bool]] = []
        async with Store.open(tmp_path / "a.db") as store:
            medium = Failing(store)
            medium.refuse = {"c/1-1"}
            store.put(arrival("c/1", 1), partial(note, told, "first"))
            await asyncio.sleep(0)  # the batch is taken; what comes now waits
            store.put(arrival("c/1", 2), partial(note, told, "second"))
            store.put(arrival("d/1", 1), partial(note, told, "other"))
            await store.flush()
            assert told == [("first", False), ("second", False), ("other", True)]
            assert (await store.load()).lanes == {"d/1": 1}

    asyncio.run(main())


def arrival(lane: str, seq: int) -> Message:
    return Message(id=f"{lane}-{seq}", box=IN, address="a@b", payload=b"1", lane=lane, seq=seq)


def note(told: list[tuple[str, bool]], name: str, error: FameError | None) -> None:
    told.append((name, error is None))


class Failing:
    """Have a store's medium refuse some messages."""

    def __init__(self, store: Store) -> None:
        self.medium, store._medium = store._medium, self
        self.refuse: set[str] = set()

    def apply(self, changes: Sequence[Change]) -> None:
        if any(isinstance(each, Put) and each.message.id in self.refuse for each in changes):
            raise StoreFull("the disk is full")
        self.medium.apply(changes)

    def read(self) -> Kept:
        return self.medium.read()

    def forget(self, now: float) -> None:
        self.medium.forget(now)

    def close(self) -> None:
        self.medium.close()


def test_what_is_old_is_forgotten_now_and_then(path: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FORGET_S", 0.0)

    async def check() -> None:
        async with Store.open(path) as store:
            for at in (1.0, time.time()):
                store.saw(f"seen at {at > 1}", at)
                await store.flush()
            assert list((await store.load()).seen) == ["seen at True"]

    asyncio.run(check())
