"""Frames: told apart by type, written as the original writes them."""

import json
from typing import get_args

import msgspec
import pytest

from fame_cli.core import frames
from fame_cli.core.frames import (
    DeliveryAck,
    Frame,
    KeyRequest,
    MeshDelta,
    MeshRecord,
    MeshSummary,
    MeshUpdate,
    NodeAttachAck,
)

SAMPLES: dict[str, dict[str, object]] = {
    "NodeHello": {"systemId": "a", "instanceId": "i", "logicals": [], "regionHint": "eu"},
    "NodeWelcome": {
        "systemId": "a",
        "instanceId": "i",
        "connectionGrants": [{"type": "x", "auth": {"type": "NoAuth"}}],
    },
    "NodeAttach": {"originType": "peer", "systemId": "a", "instanceId": "i", "callbackGrants": [{"a": None}]},
    "NodeAttachAck": {"ok": True, "refId": "r", "targetSystemId": "s", "targetPhysicalPath": "/s", "routingEpoch": "e"},
    "NodeHeartbeat": {},
    "NodeHeartbeatAck": {"ok": True, "refId": "r", "routingEpoch": "e"},
    "AddressBind": {"address": "a@b", "encryptionKeyId": "k", "physicalPath": "/s/a"},
    "AddressBindAck": {"ok": False, "code": "c", "reason": "r", "refId": "r", "address": "a@b"},
    "AddressUnbind": {"address": "a@b"},
    "AddressUnbindAck": {"ok": True, "refId": "r", "address": "a@b"},
    "CapabilityAdvertise": {"capabilities": ["c"], "address": "a@b"},
    "CapabilityAdvertiseAck": {"ok": True, "capabilities": ["c"], "address": "a@b"},
    "CapabilityWithdraw": {"capabilities": [], "address": "a@b"},
    "CapabilityWithdrawAck": {"ok": True, "capabilities": ["c"], "address": "a@b"},
    "Data": {"payload": {"x": [1, None, 1.5, "é"]}, "codec": "json"},
    "DeliveryAck": {"ok": False, "code": "NO_ROUTE", "reason": "r", "refId": "r"},
    "CreditUpdate": {"flowId": "f", "credits": 32},
    "KeyAnnounce": {"physicalPath": "/s", "keys": [{"kty": "OKP"}], "created": "2026-01-01T00:00:00Z"},
    "KeyRequest": {"kid": "k", "physicalPath": "/s"},
    "SecureOpen": {"cid": "c", "ephPub": "p", "alg": "a", "opts": 0},
    "SecureAccept": {"ok": False, "cid": "c", "ephPub": "p", "alg": "a"},
    "SecureClose": {"cid": "c", "reason": "r"},
    "CallCancel": {},
    "MeshUpdate": {
        "records": [
            {"id": "s1", "instance": "i", "incarnation": 7},
            {
                "id": "s2",
                "instance": "j",
                "incarnation": 8,
                "links": {"base": 0, "version": 2, "final": 3, "put": {"s1": 1}},
                "offers": {"base": 4, "version": 6, "put": {"a@b": 1}, "drop": ["op:x a@b"]},
            },
        ]
    },
    "MeshSummary": {"have": {"s1": [7, 2, 0]}, "after": "s0", "upto": "s1"},
}

PARTS = {"MeshDelta", "MeshRecord"}
"""What frames are made of, beside the frames themselves."""


def test_there_is_a_sample_of_every_frame() -> None:
    assert {frame.__name__ for frame in get_args(Frame)} == set(SAMPLES)
    assert set(SAMPLES) | PARTS | {"Frame"} == set(frames.__all__)


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_frame_is_read_by_its_type_and_written_as_it_came(kind: str) -> None:
    wire = {"type": kind, **SAMPLES[kind]}
    frame = msgspec.json.decode(json.dumps(wire), type=Frame)
    assert type(frame).__name__ == kind
    assert json.loads(msgspec.json.encode(frame)) == wire


@pytest.mark.parametrize("kind", SAMPLES)
def test_keys_of_a_later_version_are_passed_over(kind: str) -> None:
    wire = {"type": kind, "fromTheFuture": {"a": 1}, **SAMPLES[kind]}
    assert type(msgspec.json.decode(json.dumps(wire), type=Frame)).__name__ == kind


def test_keys_of_a_later_version_are_passed_over_in_a_record_too() -> None:
    delta = {"base": 0, "version": 1, "fromTheFuture": 1}
    record = {"id": "s1", "instance": "i", "incarnation": 7, "links": delta, "fromTheFuture": {"a": 1}}
    frame = msgspec.json.decode(json.dumps({"type": "MeshUpdate", "records": [record]}), type=Frame)
    assert frame == MeshUpdate([MeshRecord("s1", "i", 7, links=MeshDelta(0, 1))])


def test_a_summary_without_bounds_is_about_everything() -> None:
    assert msgspec.json.decode(b'{"type":"MeshSummary","have":{}}', type=Frame) == MeshSummary({}, after="", upto="")


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"type":"NodeDetach"}', type=Frame)


def test_a_key_is_asked_for_in_either_spelling() -> None:
    asked = msgspec.json.decode(b'{"type":"KeyRequest","kid":"k","physical_path":"/s1"}', type=Frame)
    assert asked == KeyRequest(kid="k", physical_path="/s1")
    assert json.loads(msgspec.json.encode(asked)) == {"type": "KeyRequest", "kid": "k", "physicalPath": "/s1"}


def test_an_absent_ok_means_yes() -> None:
    assert DeliveryAck().accepted
    assert NodeAttachAck(ok=True).accepted
    assert not DeliveryAck(ok=False).accepted
