"""The home folder: what is made, who can read it, what is honoured for how long, and what bad files are told as."""

import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from token_rig import NOW

from fame_cli.core.grant import Grant
from fame_cli.errors import ConfigError, UsageError
from fame_cli.security.authority import LONGEST_TTL_S, Authority
from fame_cli.security.jwk import generate
from fame_cli.security.keystore import LOOK_AGAIN_S, NODE_HONOUR_S, Home, home_folder
from fame_cli.security.tokens import TokenRefused, TokenVerifier


class Clock:
    """Be a clock that is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands at `NOW`."""
    return Clock()


@pytest.fixture
def home(tmp_path: Path, clock: Clock) -> Home:
    """Give a home that isn't there yet."""
    return Home(tmp_path / "a" / "home", clock)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Where it is


@pytest.mark.parametrize(
    ("env", "folder"),
    [
        ({"FAME_HOME": "/f", "XDG_CONFIG_HOME": "/x", "HOME": "/h"}, "/f"),
        ({"FAME_HOME": "", "XDG_CONFIG_HOME": "/x", "HOME": "/h"}, "/x/fame"),
        ({"HOME": "/h"}, "/h/.config/fame"),
    ],
)
def test_the_home_is_where_the_environment_says(env: dict[str, str], folder: str) -> None:
    assert home_folder(env) == Path(folder)


def test_without_any_home_the_error_says_what_to_set() -> None:
    with pytest.raises(ConfigError, match="FAME_HOME: no home folder; set it"):
        home_folder({})


# The authority


def test_an_empty_home_has_no_authority_and_nothing_is_made_by_looking(home: Home) -> None:
    assert (home.authority(), home.authority_keys(), home.nodes(), home.fabric()) == (None, [], [], "")
    assert not home.revoked("x")
    assert not home.root.exists()


def test_the_authority_is_kept(home: Home) -> None:
    made = home.make_authority("my.fabric")
    found = home.authority()
    assert found is not None
    assert (found.issuer, found.kid, found.fabric, found.made_at) == (made.issuer, made.kid, "my.fabric", NOW)
    assert (home.authority_keys(), home.fabric()) == (made.public_jwks, "my.fabric")


def test_secrets_are_for_their_owner_alone_whatever_the_umask(home: Home) -> None:
    before = os.umask(0)
    try:
        home.make_authority("f")
        home.node_keys("n")
        home.revoke("x")
    finally:
        os.umask(before)
    modes = {str(path.relative_to(home.root)): mode(path) for path in [home.root, *home.root.rglob("*")]}
    public = modes.pop("authority.pub.json")
    assert public == 0o644
    folders = {name for name in modes if (home.root / name).is_dir()}
    assert {modes[name] for name in folders} == {0o700}
    assert {modes[name] for name in modes.keys() - folders} == {0o600}
    assert modes.keys() >= {"authority.json", "keys/n.json", "revoked.json"}


def test_the_public_file_has_nothing_private(home: Home) -> None:
    home.make_authority("f")
    secret = json.loads((home.root / "authority.json").read_text())["d"]
    text = (home.root / "authority.pub.json").read_text()
    assert secret not in text
    assert '"d"' not in text


@pytest.mark.parametrize("gone", ["authority.json", "authority.pub.json", ""])
def test_an_authority_is_not_overwritten_unless_by_force(gone: str, home: Home) -> None:
    first = home.make_authority("f")
    if gone:
        (home.root / gone).unlink()
    with pytest.raises(UsageError, match="is there already"):
        home.make_authority("f")
    second = home.make_authority("f", force=True)
    assert second.issuer != first.issuer


def test_a_rotated_authority_keeps_its_name_and_honours_the_old_key(home: Home, clock: Clock) -> None:
    old = home.make_authority("my.fabric")
    token = old.issue(Grant("n"), NOW, LONGEST_TTL_S)
    clock.now += 100
    new = home.rotate_authority()
    assert (new.issuer, new.fabric, new.kid != old.kid) == (old.issuer, "my.fabric", True)
    assert [jwk.get("exp") for jwk in home.authority_keys()] == [None, NOW + 100 + LONGEST_TTL_S]
    verifier = TokenVerifier([], home.authority_keys, "my.fabric", 60.0)
    assert verifier.verify(token, NOW + LONGEST_TTL_S - 1).subject == "n"
    assert verifier.verify(new.issue(Grant("m"), clock.now, 60), clock.now).subject == "m"


def test_an_authority_in_a_hurry_honours_its_old_key_no_longer(home: Home, clock: Clock) -> None:
    token = home.make_authority("f").issue(Grant("n"), NOW, 60)
    home.rotate_authority(0)
    with pytest.raises(TokenRefused, match="unknown key"):
        TokenVerifier([], home.authority_keys, "f", 60.0).verify(token, NOW)


def test_keys_that_are_no_longer_honoured_go_at_the_next_rotation(home: Home, clock: Clock) -> None:
    home.make_authority("f")
    home.rotate_authority(50)
    home.rotate_authority(200)
    assert len(home.authority_keys()) == 3
    clock.now += 100
    home.rotate_authority(50)
    assert [jwk.get("exp") for jwk in home.authority_keys()] == [None, NOW + 150, NOW + 200]


def test_a_running_verifier_takes_a_token_of_a_key_that_has_just_been_made(home: Home, clock: Clock) -> None:
    home.make_authority("f")
    running = Home(home.root, clock)
    verifier = TokenVerifier([], running.authority_keys, "f", 60.0, look_again=running.look_again)
    assert len(running.authority_keys()) == 1
    token = home.rotate_authority().issue(Grant("n"), NOW, 60)
    assert verifier.verify(token, NOW).subject == "n"


def test_a_running_verifier_takes_a_token_of_an_authority_that_has_just_been_made_anew(home: Home) -> None:
    home.make_authority("f")
    running = Home(home.root, lambda: NOW)
    verifier = TokenVerifier([], running.authority_keys, "f", 60.0, look_again=running.look_again)
    assert len(running.authority_keys()) == 1
    token = home.make_authority("f", force=True).issue(Grant("n"), NOW, 60)
    assert verifier.verify(token, NOW).subject == "n"


def test_an_old_key_that_no_longer_counts_is_missed_within_a_second(home: Home, clock: Clock) -> None:
    token = home.make_authority("f").issue(Grant("n"), NOW, 60)
    running = Home(home.root, clock)
    verifier = TokenVerifier([], running.authority_keys, "f", 60.0, look_again=running.look_again)
    assert verifier.verify(token, NOW)
    home.rotate_authority(0)
    clock.now += LOOK_AGAIN_S
    with pytest.raises(TokenRefused, match="unknown key"):
        verifier.verify(token, clock.now)


def test_made_up_key_ids_have_an_unchanged_file_looked_at_but_not_read(home: Home) -> None:
    """A file that is the same is the same object: whoever sends such tokens costs no more than a look."""
    made = home.make_authority("f")
    running = Home(home.root, lambda: NOW)
    verifier = TokenVerifier([], running.authority_keys, "f", 60.0, look_again=running.look_again)
    keys = running.authority_keys()
    stranger = Authority(generate().signing, fabric="f", issuer=made.issuer, made_at=NOW)
    for _ in range(2):
        with pytest.raises(TokenRefused, match="unknown key"):
            verifier.verify(stranger.issue(Grant("n"), NOW, 60), NOW)
    assert running.authority_keys() is keys


def test_without_an_authority_there_is_nothing_to_rotate(home: Home) -> None:
    with pytest.raises(UsageError, match="make one: fame keys init"):
        home.rotate_authority()


def test_the_public_keys_alone_are_enough_to_verify(home: Home, tmp_path: Path, clock: Clock) -> None:
    token = home.make_authority("my.fabric").issue(Grant("n"), NOW, 60)
    other = Home(tmp_path / "other", clock)
    other.root.mkdir(mode=0o700)
    (other.root / "authority.pub.json").write_bytes((home.root / "authority.pub.json").read_bytes())
    assert other.authority() is None
    assert TokenVerifier([], other.authority_keys, other.fabric(), 60.0).verify(token, NOW)


# Nodes


def test_a_node_gets_keys_once(home: Home) -> None:
    keys = home.node_keys("math1")
    assert home.node_keys("math1").public_jwks() == keys.public_jwks()
    assert home.node_keys("math2").kid != keys.kid
    assert home.nodes() == ["math1", "math2"]


def test_keys_are_not_made_where_that_is_not_wanted(home: Home) -> None:
    with pytest.raises(UsageError, match="no keys of math1 in"):
        home.node_keys("math1", create=False)
    assert not home.root.exists()


def test_however_many_make_the_keys_of_a_node_at_once_they_get_the_same(home: Home, clock: Clock) -> None:
    with ThreadPoolExecutor(8) as pool:
        kids = set(pool.map(lambda _: Home(home.root, clock).node_keys("n").kid, range(24)))
    assert len(kids) == 1


def test_a_rotated_node_has_new_keys_and_its_old_public_ones_for_a_day(home: Home, clock: Clock) -> None:
    old = home.node_keys("n")
    new = home.rotate_node("n")
    record = home.node("n")
    assert record is not None
    assert (record.keys.kid, record.made_at) == (new.kid, NOW)
    assert new.kid != old.kid
    assert record.retired == [{**jwk, "exp": NOW + NODE_HONOUR_S} for jwk in old.public_jwks()]
    clock.now += NODE_HONOUR_S
    record = home.node("n")
    assert record is not None
    assert record.retired == []


def test_a_rotation_leaves_no_old_private_key_on_the_disk(home: Home) -> None:
    secrets = [jwk["d"] for jwk in home.node_keys("n").private_jwks()]
    home.rotate_node("n")
    text = (home.root / "keys" / "n.json").read_text()
    assert not [secret for secret in secrets if secret in text]


def test_a_node_without_keys_has_none_to_rotate(home: Home) -> None:
    with pytest.raises(UsageError, match="no keys of n in"):
        home.rotate_node("n")


@pytest.mark.parametrize("node_id", ["", ".", "..", "../authority", "a/b", "a\0b", "x" * 129])
def test_what_is_no_node_id_names_no_file(node_id: str, home: Home) -> None:
    with pytest.raises(UsageError, match="is no node id"):
        home.node_keys(node_id)


@pytest.mark.parametrize("node_id", ["a.b_c-D", ".a", "x" * 128])
def test_any_node_id_has_a_file_of_its_own_in_the_folder(node_id: str, home: Home) -> None:
    home.node_keys(node_id)
    assert home.nodes() == [node_id]
    assert [path.name for path in (home.root / "keys").iterdir()] == [f"{node_id}.json"]


def test_the_keys_of_one_node_are_not_those_of_another_on_any_disk(home: Home) -> None:
    home.node_keys("math")
    (home.root / "keys" / "math.json").rename(home.root / "keys" / "MATH.json")
    with pytest.raises(ConfigError, match="keys of math, not of MATH"):
        home.node_keys("MATH")


# Tokens taken back


def test_a_revoked_token_stays_so_for_everybody_with_this_home(home: Home, clock: Clock) -> None:
    running = Home(home.root, clock)
    assert not running.revoked("a")
    home.revoke("a", NOW + 1000)
    home.revoke("b")
    assert not running.revoked("a")  # looked a moment ago
    clock.now += LOOK_AGAIN_S
    assert [running.revoked(token_id) for token_id in ("a", "b", "c")] == [True, True, False]


def test_a_clock_set_back_is_no_reason_not_to_look(home: Home, clock: Clock) -> None:
    assert not home.revoked("a")
    Home(home.root, clock).revoke("a")
    clock.now -= 3600
    assert home.revoked("a")


def test_what_has_ended_by_itself_is_forgotten(home: Home, clock: Clock) -> None:
    home.revoke("a", NOW + 10)
    home.revoke("b")
    home.revoke("b")
    clock.now += 20
    home.revoke("c", NOW + 100)
    entries = json.loads((home.root / "revoked.json").read_text())["revoked"]
    assert [entry["jti"] for entry in entries] == ["b", "c"]


def test_tokens_revoked_at_the_same_time_are_all_revoked(home: Home, clock: Clock) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: Home(home.root, clock).revoke(f"t{number}"), range(24)))
    assert all(Home(home.root, clock).revoked(f"t{number}") for number in range(24))


# Bad files


def read_authority(home: Home) -> object:
    return home.authority()


def read_public(home: Home) -> object:
    return home.authority_keys()


def read_node(home: Home) -> object:
    return home.node_keys("n")


def read_revoked(home: Home) -> object:
    return home.revoked("x")


READERS: dict[str, Callable[[Home], object]] = {
    "authority.json": read_authority,
    "authority.pub.json": read_public,
    "keys/n.json": read_node,
    "revoked.json": read_revoked,
}


def full(home: Home, clock: Clock) -> Home:
    home.make_authority("f")
    home.node_keys("n")
    home.revoke("x")
    return Home(home.root, clock)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b'{"keys": 7, "node": "n"}', b"[" * 100_000, b"\xff"])
def test_a_file_that_is_broken_is_an_error_with_its_place(name: str, content: bytes, home: Home, clock: Clock) -> None:
    home = full(home, clock)
    (home.root / name).write_bytes(content)
    with pytest.raises(ConfigError) as error:
        READERS[name](home)
    assert str(error.value).startswith(f"{home.root / name}: not ")


@pytest.mark.parametrize("name", ["authority.json", "keys/n.json", "revoked.json"])
def test_a_secret_that_others_can_read_is_not_used(name: str, home: Home, clock: Clock) -> None:
    home = full(home, clock)
    (home.root / name).chmod(0o640)
    with pytest.raises(ConfigError, match="others can read this file; chmod 600"):
        READERS[name](home)


def test_public_keys_that_others_can_change_are_not_used(home: Home, clock: Clock) -> None:
    home = full(home, clock)
    (home.root / "authority.pub.json").chmod(0o664)
    with pytest.raises(ConfigError, match="others can change this file; chmod 644"):
        home.authority_keys()


def test_no_secret_is_put_into_a_folder_that_others_can_write(home: Home) -> None:
    home.root.mkdir(parents=True)
    home.root.chmod(0o770)
    with pytest.raises(ConfigError, match="others may write in this folder; chmod 700"):
        home.node_keys("n")


def test_a_home_that_cannot_be_made_is_an_error_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    home = Home(tmp_path / "file" / "home")
    with pytest.raises(ConfigError, match=r"file/home: can't be made: not a directory; set FAME_HOME"):
        home.make_authority("f")
    with pytest.raises(ConfigError, match=r"home/keys/n.json: can't be read: not a directory"):
        home.node_keys("n")


def test_a_write_that_fails_leaves_what_was_there(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = home.node_keys("n")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ConfigError, match="can't be written: no space left"):
        home.rotate_node("n")
    assert home.node_keys("n").kid == keys.kid
    assert [path.name for path in (home.root / "keys").iterdir()] == ["n.json"]
