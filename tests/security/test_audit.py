"""The audit log: what is written, that nothing secret is, and that nothing it meets stops the node."""

import base64
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fame_cli.security.audit import KEPT_FILES, AuditLog
from fame_cli.security.masking import MAX_TEXT, masked

NOW = 1_700_000_000.25
PEM = "PRIVATE KEY"
CUT_WITHIN = ("x" * 1000 + " ") * 4 + " " * 70  # what is looked at ends 22 characters into what comes after it


class Said(list[dict[str, Any]]):
    """Be the ordinary log: what it was told."""

    def __call__(self, event: str, level: str, /, **facts: object) -> None:
        self.append({"event": event, "level": level, **facts})


class Turn(list[Callable[[], None]]):
    """Be the event loop: what it is to do once this turn is over."""

    def __call__(self, work: Callable[[], None]) -> None:
        self.append(work)

    def end(self) -> None:
        work, self[:] = list(self), []
        for each in work:
            each()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "audit.jsonl"


def test_an_event_is_one_line_with_its_time_and_facts(path: Path) -> None:
    log = AuditLog(path, Said())
    log.write("attach_refused", {"node": "math1", "link": 3, "subject": "math1", "code": "UNAUTHORIZED"}, NOW)
    assert lines(path) == [
        {
            "ts": "2023-11-14T22:13:20.250Z",
            "event": "attach_refused",
            "node": "math1",
            "link": 3,
            "subject": "math1",
            "code": "UNAUTHORIZED",
        }
    ]
    log.close()


def test_the_file_is_its_owners_alone_whatever_the_umask(path: Path) -> None:
    log = AuditLog(path, Said())
    log.write("bound", {}, NOW)
    log.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_it_goes_on_in_the_file_that_is_there(path: Path) -> None:
    for event in ("one", "two"):
        log = AuditLog(path, Said())
        log.write(event, {}, NOW)
        log.close()
    assert [line["event"] for line in lines(path)] == ["one", "two"]


def test_what_happens_in_one_turn_is_written_at_its_end(path: Path) -> None:
    turn = Turn()
    log = AuditLog(path, Said(), turn)
    for number in range(3):
        log.write("denied", {"number": number}, NOW)
    assert not path.exists()
    assert len(turn) == 1
    turn.end()
    assert [line["number"] for line in lines(path)] == [0, 1, 2]
    log.write("denied", {"number": 3}, NOW)
    turn.end()
    assert len(lines(path)) == 4
    log.close()


def test_a_full_file_is_put_away_and_five_are_kept(path: Path) -> None:
    log = AuditLog(path, Said(), max_bytes=200)
    for number in range(60):
        log.write("denied", {"number": number}, NOW)
    log.close()
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["audit.jsonl", *(f"audit.jsonl.{n + 1}" for n in range(KEPT_FILES))]
    kept = [line["number"] for file in [*reversed(files[1:]), files[0]] for line in lines(file)]
    assert kept == list(range(kept[0], 60))
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_two_writers_of_one_file_lose_nothing_when_it_is_put_away(path: Path) -> None:
    logs = [AuditLog(path, Said(), max_bytes=2000) for _ in range(2)]
    for number in range(60):
        logs[number % 2].write("denied", {"number": number}, NOW)
    for log in logs:
        log.close()
    found = sorted(line["number"] for file in path.parent.iterdir() for line in lines(file))
    assert found == list(range(60))


def test_a_file_that_somebody_moved_is_begun_anew(path: Path) -> None:
    log = AuditLog(path, Said())
    log.write("one", {}, NOW)
    path.rename(path.with_suffix(".old"))
    log.write("two", {}, NOW)
    log.close()
    assert [line["event"] for line in lines(path)] == ["two"]


def test_a_place_that_cannot_be_written_is_said_once_and_what_is_lost_is_counted(path: Path) -> None:
    said = Said()
    path.parent.write_text("a file where the folder should be")
    log = AuditLog(path, said)
    for _ in range(3):
        log.write("denied", {}, NOW)
    assert said == [{"event": "audit_failed", "level": "error", "path": str(path), "reason": "File exists"}]
    assert log.lost == 3
    path.parent.unlink()
    log.write("denied", {"number": 4}, NOW)
    assert [(line["event"], line.get("events")) for line in lines(path)] == [("audit_lost", 3), ("denied", None)]
    assert log.lost == 0
    path.unlink()
    path.mkdir()
    log.write("denied", {}, NOW)
    assert len(said) == 2
    log.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_does_not_stop_anybody() -> None:
    said = Said()
    log = AuditLog(Path("/dev/full"), said)
    log.write("denied", {}, NOW)
    log.close()
    assert said == [
        {"event": "audit_failed", "level": "error", "path": "/dev/full", "reason": "No space left on device"}
    ]
    assert log.lost == 1


def test_a_turn_of_too_many_events_loses_the_rest_and_says_how_many(path: Path) -> None:
    turn = Turn()
    log = AuditLog(path, Said(), turn)
    for _ in range(10_007):
        log.write("denied", {}, NOW)
    turn.end()
    log.close()
    assert len(lines(path)) == 10_001
    assert lines(path)[0] == {"ts": "2023-11-14T22:13:20.250Z", "event": "audit_lost", "events": 7}


def test_facts_cannot_pass_for_the_time_or_the_event(path: Path) -> None:
    log = AuditLog(path, Said())
    log.write("denied", {"ts": "then", "event": "allowed"}, NOW)
    log.close()
    assert lines(path) == [{"ts": "2023-11-14T22:13:20.250Z", "event": "denied"}]


def test_one_event_is_one_line_whatever_its_facts_hold(path: Path) -> None:
    class Odd:
        pass

    log = AuditLog(path, Said())
    deep: dict[str, Any] = {}
    deep["deep"] = deep
    facts = {"a": "x\ny\x1b[2J\u2028", "b": float("nan"), "c": 10**400, "d": b"\0", "e": Odd(), "f": {1, "a"}, **deep}
    log.write("denied", facts, NOW)
    log.close()
    data = path.read_bytes()
    assert data.count(b"\n") == 1
    assert data.isascii()
    assert lines(path)[0]["c"] == "a large number"
    assert lines(path)[0]["e"] == "Odd"


@pytest.mark.parametrize(
    "text",
    [
        "math1@fame.fabric",
        "/peer-sentinel1/math1",
        "add math@*.pool.fabric",
        "client1-4fKq2ZPz91Qw",
        "the token has expired",
        "rule math-closed denies",
        "9Ykf0sU4Lw2hXJ3QaBcD",
    ],
)
def test_names_and_reasons_stay_as_they_are(text: str) -> None:
    assert masked(text) == text


def test_the_same_secret_has_the_same_mask_and_another_has_another() -> None:
    one, other = "a" * 43, "b" * 43
    assert masked(one) == masked(f"{one}") != masked(other)
    assert masked(f"kid={one} of x").endswith(" of x")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abc123", "abc123"),
        ("wss://user:hunter2@host/x", "hunter2"),
        ("https://host/x?access_token=abc123&y=1", "abc123"),
        ("client_secret=abc123", "abc123"),
    ],
)
def test_short_secrets_are_known_by_what_stands_before_them(text: str, secret: str) -> None:
    assert secret not in masked(text)


@pytest.mark.parametrize(
    "name", ["token", "key", "payload", "secret", "password", "proof", "accessToken", "CLIENT_SECRET"]
)
def test_members_of_such_names_are_left_out(path: Path, name: str) -> None:
    log = AuditLog(path, Said())
    log.write("denied", {name: "x", "inner": {name: "x", "kid": "K1"}}, NOW)
    log.close()
    assert lines(path)[0]["inner"] == {"kid": "K1"}
    assert name not in lines(path)[0]


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


_JWTS = st.builds(
    lambda header, claims, signature: f"{_b64url(header)}.{_b64url(claims)}.{_b64url(signature)}",
    st.dictionaries(st.sampled_from(["alg", "kid", "typ"]), st.text(max_size=9)).map(lambda x: json.dumps(x).encode()),
    st.dictionaries(st.sampled_from(["sub", "aud"]), st.text(max_size=9)).map(lambda x: json.dumps(x).encode()),
    st.binary(min_size=24, max_size=64),
).filter(lambda token: token.startswith("eyJ"))
_LONG = st.binary(min_size=24, max_size=70)
_SECRETS = st.one_of(
    _JWTS,
    _LONG.map(_b64url),
    _LONG.map(lambda data: base64.b64encode(data).decode()),
    _LONG.map(bytes.hex),
    _LONG.map(
        lambda data: f"-----BEGIN PRIVATE KEY-----\n{base64.encodebytes(data).decode()}-----END PRIVATE KEY-----"
    ),
)
_AROUND = st.sampled_from(
    ["", " ", "x", "a=", "/", "{", " " * 4080, "word " * 815, "x" * 5000, CUT_WITHIN, "é", "\n", "-"]
)
_POSITIONS: dict[str, Callable[[str], Any]] = {
    "value": lambda secret: {"node": secret},
    "name": lambda secret: {secret: 1},
    "item": lambda secret: {"links": ["a", secret]},
    "set": lambda secret: {"roles": frozenset({secret})},
    "member": lambda secret: {"facts": {"claims": {"sub": secret}}},
    "inner name": lambda secret: {"facts": {secret: "x"}},
    "bytes": lambda secret: {"raw": secret.encode()},
    "too deep": lambda secret: {"a": {"b": {"c": {"d": {"e": secret}}}}},
    "error": lambda secret: {"reason": ValueError(secret)},
    "secret name": lambda secret: {"token": secret, "private_key": {"d": secret}},
}


@settings(max_examples=400, deadline=None)
@given(_SECRETS, st.sampled_from(sorted(_POSITIONS)), _AROUND, _AROUND, st.booleans())
def test_no_secret_in_any_place_comes_out(secret: str, position: str, before: str, after: str, in_event: bool) -> None:
    text = before + secret + after
    with TemporaryDirectory() as folder:
        path = Path(folder) / "audit.jsonl"
        log = AuditLog(path, Said())
        log.write(text if in_event else "denied", _POSITIONS[position](text), NOW)
        log.close()
        written = json.dumps(lines(path), ensure_ascii=False)
    pieces = [piece for part in secret.split("\n") for piece in part.split(".") if not piece.startswith("-----")]
    for piece in pieces:
        parts = [piece[at : at + 8] for at in range(0, len(piece) - 7, 4)]
        assert not any(part in written for part in parts if part not in before + after and len(set(part)) > 2), piece


def test_a_long_text_is_cut() -> None:
    assert len(masked("word " * 1000)) == MAX_TEXT


def test_a_pipe_that_nobody_reads_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    os.mkfifo(path)
    told: list[str] = []
    log = AuditLog(path, lambda event, level="info", **facts: told.append(event))
    log.write("attach_refused", {}, 0.0)
    assert (told, log.lost) == (["audit_failed"], 1)
