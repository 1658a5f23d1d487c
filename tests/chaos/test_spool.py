"""What goes through a pipe into a file: all of it, also of a writer whose disk is full or who has been killed."""

import asyncio
import signal
import sys
from pathlib import Path

from ledger import Notebook, read_handled, read_notes, write_handled
from spool import Spool

FULL = """
import os, resource, signal, sys
from pathlib import Path
from ledger import write_handled
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
write_handled(Path(sys.argv[1]), "m1")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_many_have_written_is_in_the_file_once_the_spool_is_closed(tmp_path: Path) -> None:
    async def main() -> None:
        notes, handled = Spool(tmp_path / "c1.notes"), Spool(tmp_path / "a1.handled")
        first, second = Notebook(notes.pipe), Notebook(notes.pipe)
        for number in range(500):
            (first if number % 2 else second).write(float(number), "begin", id=str(number))
            write_handled(handled.pipe, str(number))
            await asyncio.sleep(0)
        for spool in (notes, handled):
            spool.close()

    asyncio.run(main())
    assert [note["id"] for note in read_notes([tmp_path / "c1.notes"])] == [str(number) for number in range(500)]
    assert [message for message, _ in read_handled([tmp_path / "a1.handled"])] == [str(number) for number in range(500)]


def test_a_process_writes_although_its_disk_is_full_and_is_killed_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        spool = Spool(tmp_path / "a1.handled")
        command = sys.executable, "-c", FULL, str(spool.pipe)
        writer = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parent)
        async with asyncio.timeout(20):
            assert await writer.wait() == -signal.SIGKILL
        spool.close()

    asyncio.run(main())
    assert [message for message, _ in read_handled([tmp_path / "a1.handled"])] == ["m1"]
