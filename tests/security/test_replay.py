"""Envelopes that come twice: what is remembered, for how long, and what a full memory refuses."""

import pytest

from fame_cli.security import replay
from fame_cli.security.replay import Replays

NOW = 1_800_000_000.0
SKEW_S = 60.0


def test_an_envelope_comes_once() -> None:
    replays = Replays(SKEW_S)
    assert replays.is_new("sid", "one", NOW, NOW)
    assert not replays.is_new("sid", "one", NOW, NOW + 1)
    assert replays.is_new("sid", "two", NOW, NOW + 1)
    assert replays.is_new("other", "one", NOW, NOW + 1)


@pytest.mark.parametrize("made_at", [NOW - SKEW_S - 1, NOW + SKEW_S + 1])
def test_what_is_too_old_or_too_far_ahead_is_not_taken(made_at: float) -> None:
    assert not Replays(SKEW_S).is_new("sid", "one", made_at, NOW)


def test_an_id_is_remembered_for_as_long_as_it_could_pass_for_new() -> None:
    replays = Replays(SKEW_S)
    ahead = NOW + SKEW_S
    assert replays.is_new("sid", "ahead", ahead, NOW)
    for second in range(1, int(2 * SKEW_S)):
        assert replays.is_new("sid", f"other{second}", NOW + second, NOW + second)
        assert not replays.is_new("sid", "ahead", ahead, NOW + second)


def test_what_can_pass_no_more_is_forgotten() -> None:
    replays = Replays(SKEW_S)
    for second in range(1000):
        assert replays.is_new("sid", str(second), NOW + second, NOW + second)
    assert len(replays) <= 2 * SKEW_S + 10


def test_a_full_memory_refuses_the_oldest_and_never_what_is_made_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MAX_REMEMBERED", 1000)
    replays = Replays(SKEW_S)
    for step in range(30_000):
        now = NOW + step / 100
        assert replays.is_new("sid", str(step), now, now), f"what was made now was refused after {step}"
        assert len(replays) <= 1000
    assert not replays.is_new("sid", "old", NOW + 300 - SKEW_S / 2, NOW + 300)


def test_what_a_full_memory_forgot_does_not_pass_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MAX_REMEMBERED", 1000)
    replays = Replays(SKEW_S)
    times = [NOW + step / 100 for step in range(3000)]
    for step, now in enumerate(times):
        assert replays.is_new("sid", str(step), now, now)
    assert not any(replays.is_new("sid", str(step), made_at, times[-1]) for step, made_at in enumerate(times))


def test_answers_have_no_age_and_come_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MAX_REMEMBERED", 1000)
    replays = Replays(SKEW_S)
    for step in range(3000):
        assert replays.is_new("sid", str(step), None, NOW + step / 100)
        assert not replays.is_new("sid", str(step), None, NOW + step / 100)


def test_a_clock_that_was_ahead_and_is_put_right_refuses_nothing_new() -> None:
    replays = Replays(SKEW_S)
    for step in range(100):
        assert replays.is_new("sid", f"ahead{step}", NOW + 3600 + step, NOW + 3600 + step)
    assert replays.is_new("sid", "now", NOW, NOW)
    assert replays.is_new("sid", "next", NOW + 5, NOW + 5)


def test_a_flood_from_the_future_does_not_refuse_what_is_made_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MAX_REMEMBERED", 1000)
    replays = Replays(SKEW_S)
    for step in range(5000):
        replays.is_new("flood", str(step), NOW + SKEW_S - 2, NOW)
    for second in range(int(2 * SKEW_S)):
        assert replays.is_new("honest", str(second), NOW + second, NOW + second)
        assert not replays.is_new("honest", str(second), NOW + second, NOW + second)
