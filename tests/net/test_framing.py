"""Frames laid out by us are read by a library as what went in."""

import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from fame_cli.net.framing import frames

SIZES = [0, 1, 3, 125, 126, 4_097, 65_535, 65_536, 200_000]


@pytest.mark.parametrize("masked", [True, False])
def test_frames_of_every_size_are_read_as_the_messages_they_carry(masked: bool) -> None:
    queue = [bytes(index % 251 for index in range(size)) for size in SIZES]
    reader = StreamReader()
    reader.feed_data(b"".join(frames(queue, masked=masked)))
    reader.feed_eof()
    for data in queue:
        parser = Frame.parse(reader.read_exact, mask=masked)
        with pytest.raises(StopIteration) as done:
            next(parser)
        assert done.value.value == Frame(Opcode.BINARY, data)


def test_every_frame_has_a_mask_of_its_own() -> None:
    chunks = frames([bytes(64)] * 8, masked=True)
    assert len(set(chunks[1::2])) == 8
