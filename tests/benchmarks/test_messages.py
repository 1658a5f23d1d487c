"""What travels through the chains that have no messages of their own."""

import pytest
from contenders.messages import answer_to, check, check_item, items, request, request_for_stream, stream_asked_for
from load import WrongAnswer


def test_a_request_has_300_bytes() -> None:
    assert len(request()) == 300


def test_the_answer_to_a_request_is_right() -> None:
    check(answer_to(request()))


def test_a_wrong_sum_is_noticed() -> None:
    with pytest.raises(WrongAnswer):
        check(b'{"result":8}')


@pytest.mark.parametrize("item_bytes", [0, 65_536])
def test_a_stream_has_the_items_that_were_asked_for(item_bytes: int) -> None:
    found = list(stream_asked_for(request_for_stream(3, item_bytes)))

    assert found == list(items(3, item_bytes))
    for number, item in enumerate(found):
        check_item(item, number, item_bytes)


def test_an_item_out_of_its_turn_is_noticed() -> None:
    with pytest.raises(WrongAnswer):
        check_item(b"1", 2, 0)


def test_an_item_that_is_too_short_is_noticed() -> None:
    with pytest.raises(WrongAnswer):
        check_item(b'"xx"', 0, 3)
