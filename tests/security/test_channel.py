"""Channels of the original: who opened one owns it, and it opens nothing that its owner hasn't signed."""

import base64
import secrets
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from fame_cli.core.envelope import Envelope, encode
from fame_cli.core.frames import Data, SecureAccept, SecureOpen
from fame_cli.core.ids import sid_of
from fame_cli.security.channel import LIFE_S, Channels
from fame_cli.security.sealing import SealingFailed, derived_key

PAYLOAD = b'{"id":"c1","result":7}'
DIGEST = sid_of(PAYLOAD.decode())
CID = "auto-math@fame.fabric-RJLXjlLJTgJVKpzn"


class Opener:
    """Be a Naylence client: open a channel, write what its owner may write, read the answers."""

    def __init__(self, sid: str = "client", cid: str = CID) -> None:
        self.sid, self.cid = sid, cid
        self.private = X25519PrivateKey.generate()
        self.key = ChaCha20Poly1305(bytes(32))

    def asked(self, **changes: Any) -> SecureOpen:
        public = base64.b64encode(self.private.public_key().public_bytes_raw()).decode()
        given = {"cid": self.cid, "eph_pub": public, "alg": "CHACHA20P1305", "opts": msgspec.Raw(b"0")}
        return SecureOpen(**given | changes)

    def opened(self, channels: Channels, now: float = 0.0) -> "Opener":
        answer = channels.accept(self.asked(), self.sid, now)
        assert answer.ok
        public = base64.b64decode(answer.eph_pub or "")
        self.key = ChaCha20Poly1305(derived_key(self.private, public, f"fame-channel:{self.cid}".encode()))
        return self

    def sent(self, payload: bytes = PAYLOAD, pd: str = DIGEST, **changes: Any) -> Envelope:
        nonce = secrets.token_bytes(12)
        text = base64.b64encode(self.key.encrypt(nonce, payload, self.cid.encode()))
        enc = {"alg": "chacha20-poly1305-channel", "kid": self.cid, "val": nonce.hex()} | changes
        return Envelope(
            id="e",
            sid=self.sid,
            sec=msgspec.Raw(msgspec.json.encode({"sig": {}, "enc": enc})),
            frame=Data(payload=msgspec.Raw(b'"' + text + b'"'), codec="b64", pd=pd),
        )


@pytest.fixture
def channels() -> Channels:
    return Channels()


def answer() -> Envelope:
    return Envelope(
        id="a", sid="agent", sec=msgspec.Raw(b'{"sig":{}}'), frame=Data(payload=msgspec.Raw(PAYLOAD), pd=DIGEST)
    )


def refused(channels: Channels, asked: SecureOpen, sid: str = "client") -> str:
    found = channels.accept(asked, sid, 0.0)
    assert found.ok is False
    assert found.eph_pub == base64.b64encode(bytes(32)).decode()
    return found.code or ""


def test_a_channel_carries_payloads_both_ways(channels: Channels) -> None:
    opener = Opener().opened(channels)
    assert channels.open(opener.sent(), 1.0) == PAYLOAD
    written = msgspec.json.decode(encode(channels.seal(PAYLOAD, answer(), "client", CID, 1.0)))
    enc = written["sec"]["enc"]
    assert (enc["alg"], enc["kid"], written["frame"]["codec"]) == ("chacha20-poly1305-channel", CID, "b64")
    ciphertext = base64.b64decode(written["frame"]["payload"], validate=True)
    assert opener.key.decrypt(bytes.fromhex(enc["val"]), ciphertext, CID.encode()) == PAYLOAD


def test_an_acceptance_has_the_members_the_original_wants() -> None:
    found = Channels().accept(Opener().asked(), "client", 0.0)
    wire = msgspec.json.decode(encode(Envelope(frame=found)))["frame"]
    assert wire | {"ephPub": ""} == {
        "type": "SecureAccept",
        "ok": True,
        "cid": CID,
        "ephPub": "",
        "alg": "CHACHA20P1305",
    }


def test_two_answers_never_use_the_same_nonce(channels: Channels) -> None:
    Opener().opened(channels)
    sealed = [channels.seal(PAYLOAD, answer(), "client", CID, 0.0) for _ in range(2)]
    assert sealed[0].sec != sealed[1].sec


def test_a_channel_is_of_the_node_that_opened_it(channels: Channels) -> None:
    owner = Opener().opened(channels)
    stolen = msgspec.structs.replace(owner.sent(), sid="thief")
    with pytest.raises(SealingFailed, match="no such channel"):
        channels.open(stolen, 0.0)
    with pytest.raises(SealingFailed, match="no such channel"):
        channels.seal(PAYLOAD, answer(), "thief", CID, 0.0)


def test_two_nodes_may_use_the_same_name_and_have_two_channels(channels: Channels) -> None:
    one, other = Opener("one").opened(channels), Opener("other").opened(channels)
    assert channels.open(one.sent(), 0.0) == PAYLOAD
    assert channels.open(other.sent(), 0.0) == PAYLOAD
    with pytest.raises(SealingFailed, match="can't be opened"):
        channels.open(msgspec.structs.replace(one.sent(), sid="other"), 0.0)


def test_only_the_opener_closes_a_channel(channels: Channels) -> None:
    owner = Opener().opened(channels)
    assert not channels.close(CID, "thief")
    assert channels.open(owner.sent(), 0.0) == PAYLOAD
    assert channels.close(CID, "client")
    assert not channels.close(CID, "client")
    with pytest.raises(SealingFailed, match="no such channel"):
        channels.open(owner.sent(), 0.0)


def test_opening_again_under_a_live_name_changes_no_key(channels: Channels) -> None:
    owner = Opener().opened(channels)
    assert refused(channels, Opener().asked()) == "CHANNEL_TAKEN"
    assert channels.open(owner.sent(), 0.0) == PAYLOAD


def test_a_channel_ends_after_an_hour(channels: Channels) -> None:
    owner = Opener().opened(channels)
    assert channels.open(owner.sent(), LIFE_S - 1) == PAYLOAD
    with pytest.raises(SealingFailed, match="no such channel"):
        channels.open(owner.sent(), LIFE_S)
    with pytest.raises(SealingFailed, match="no such channel"):
        channels.seal(PAYLOAD, answer(), "client", CID, LIFE_S)
    Opener("other").opened(channels, LIFE_S)
    assert len(channels) == 1


def test_one_node_has_a_bounded_number_of_channels_and_gets_them_back() -> None:
    channels = Channels(max_per_peer=2)
    for cid in ("a", "b"):
        Opener(cid=cid).opened(channels)
    assert refused(channels, Opener(cid="c").asked()) == "RATE_LIMITED"
    Opener("other", "c").opened(channels)
    channels.close("a", "client")
    Opener(cid="c").opened(channels)
    assert len(channels) == 3


def test_all_nodes_together_have_a_bounded_number_of_channels() -> None:
    channels = Channels(max_channels=2)
    for sid in ("a", "b"):
        Opener(sid).opened(channels)
    assert refused(channels, Opener("c").asked(), "c") == "RATE_LIMITED"
    Opener("c").opened(channels, LIFE_S)
    assert len(channels) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"alg": "AES"},
        {"cid": ""},
        {"cid": "x" * 1101},
        {"eph_pub": ""},
        {"eph_pub": "!"},
        {"eph_pub": "é"},
        {"eph_pub": base64.b64encode(bytes(31)).decode()},
        {"eph_pub": base64.b64encode(bytes(32)).decode()},
    ],
    ids=["algorithm", "no name", "long name", "no key", "no base64", "no ASCII", "short key", "low order"],
)
def test_what_is_no_request_for_a_channel_is_refused_and_leaves_nothing(
    channels: Channels, change: dict[str, Any]
) -> None:
    assert refused(channels, Opener().asked(**change)) == "MALFORMED"
    assert len(channels) == 0


def test_a_refusal_does_not_repeat_a_name_at_any_length(channels: Channels) -> None:
    found = channels.accept(Opener().asked(cid="x" * 100_000), "client", 0.0)
    assert isinstance(found, SecureAccept)
    assert len(found.cid or "") <= 1100


def test_a_payload_swapped_by_its_own_sender_for_one_not_signed_is_refused(channels: Channels) -> None:
    owner = Opener().opened(channels)
    with pytest.raises(SealingFailed, match="isn't the one that was signed"):
        channels.open(owner.sent(b"8"), 0.0)


@pytest.mark.parametrize("change", [{"val": ""}, {"val": "zz"}, {"val": "00" * 12}, {"val": "00" * 11}], ids=str)
def test_a_wrong_nonce_opens_nothing(channels: Channels, change: dict[str, str]) -> None:
    with pytest.raises(SealingFailed, match="can't be opened"):
        channels.open(Opener().opened(channels).sent(**change), 0.0)


@pytest.mark.parametrize("alg", ["fame-sealed-1", "ECDH-ES+A256GCM", "chacha20-poly1305"])
def test_what_is_sealed_otherwise_is_none_of_a_channels(channels: Channels, alg: str) -> None:
    with pytest.raises(SealingFailed, match="isn't one of a channel"):
        channels.open(Opener().opened(channels).sent(alg=alg), 0.0)


def test_a_payload_in_clear_is_none_of_a_channels(channels: Channels) -> None:
    with pytest.raises(SealingFailed, match="isn't one of a channel"):
        channels.open(answer(), 0.0)


def test_what_was_encrypted_once_is_not_encrypted_again(channels: Channels) -> None:
    Opener().opened(channels)
    once = channels.seal(PAYLOAD, answer(), "client", CID, 0.0)
    with pytest.raises(SealingFailed, match="and once"):
        channels.seal(PAYLOAD, once, "client", CID, 0.0)
