"""What a node that can't show its token is told: whose it is, and what to do about it."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from msgspec import Raw
from token_rig import NOW

from fame_cli.core.frames import KeyAnnounce
from fame_cli.core.grant import AGENT, CLIENT, Grant
from fame_cli.core.link import Link, LinkKind
from fame_cli.errors import AdmissionRefused, ConfigError
from fame_cli.security.keystore import Home
from fame_cli.security.settings import Admission, SecuritySettings
from fame_cli.security.setup import Security

HERE = Grant("math1", "math1", roles=frozenset({AGENT, CLIENT}), addresses=("math1@fame.fabric",))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Give the home of the authority."""
    made = Home(tmp_path / "home", lambda: NOW)
    made.make_authority("fame.fabric")
    return made


def token_for(home: Home, node_id: str, thumbprint: str = "") -> str:
    authority = home.authority()
    assert authority is not None
    bound = thumbprint or home.node_keys(node_id).thumbprint
    return authority.issue(Grant(node_id, node_id, roles=frozenset({CLIENT}), thumbprint=bound), NOW, 60)


def refused(home: Path, admission: Admission, *, named: bool = True, profile: str = "gated") -> str:
    """Start a node that calls itself math1, and return what is told."""
    security = Security(
        SecuritySettings(profile=profile, home=home, admission=admission), HERE, named=named, clock=lambda: NOW
    )
    with pytest.raises((AdmissionRefused, ConfigError)) as error:
        asyncio.run(security.start(lambda event, level, **facts: None, listens=False))
    return str(error.value)


def test_a_token_for_another_node_says_which_id_to_take_and_how_to_get_one_for_this(home: Home) -> None:
    told = refused(home.root, Admission(token=token_for(home, "cli")))
    assert told == (
        "the token is for another key than this node's, that of cli; set FAME_NODE_ID=cli (id of a config, --id) where "
        "the keys of cli are, or issue one for math1: fame token issue --node math1 --role agent --role client "
        f"--address math1@fame.fabric --thumbprint {home.node_keys('math1').thumbprint}"
    )


def test_a_node_without_an_id_of_its_own_is_told_which_one_the_token_is_for(home: Home) -> None:
    told = refused(home.root, Admission(token=token_for(home, "cli")), named=False)
    assert told.endswith("that of cli; set FAME_NODE_ID=cli (id of a config, --id) where the keys of cli are")


def test_a_token_for_an_old_key_says_how_to_get_a_new_one(home: Home) -> None:
    token = token_for(home, "math1")
    keys = home.rotate_node("math1")
    told = refused(home.root, Admission(token=token))
    assert "that of math1; use the home folder it was issued for (FAME_HOME), or issue another: fame token" in told
    assert told.endswith(f" --thumbprint {keys.thumbprint}")


def test_without_a_profile_a_node_is_told_that_it_has_no_key(home: Home) -> None:
    told = refused(home.root, Admission(token=token_for(home, "math1")), profile="open")
    assert told.endswith(
        "set FAME_SECURITY_PROFILE as its sentinel has it: in profile open a node has no key of its own"
    )


def test_a_node_of_another_machine_without_its_token_is_told_what_to_have_issued(tmp_path: Path) -> None:
    home = Home(tmp_path / "there", lambda: NOW)
    told = refused(home.root, Admission(token_file=tmp_path / "math1.jwt"))
    assert told == (
        f"{tmp_path}/math1.jwt: can't be read: no such file or directory; put one there, issued where the "
        "authority is: fame token issue --node math1 --role agent --role client --address math1@fame.fabric "
        f"--thumbprint {home.node_keys('math1', create=False).thumbprint} --out math1.jwt"
    )


def test_a_key_is_proved_no_more_once_its_token_is_revoked_in_the_home(home: Home) -> None:
    now = [NOW]
    settings = SecuritySettings(profile="overlay", home=home.root)
    security = Security(settings, HERE, named=True, clock=lambda: now[0])
    asyncio.run(security.start(lambda event, level, **facts: None, listens=True))
    keys, token = home.node_keys("cli"), token_for(home, "cli")
    announce = KeyAnnounce(physical_path="/s1/cli", keys=Raw(json.dumps(keys.public_jwks(token)).encode()))
    peer = Link(1, LinkKind.PEER, remote_id="s1", remote_path="/s1")
    assert security.gate.learn(announce, peer) is None
    grant = security.granted(token)
    assert grant is not None
    assert security.gate.shown_with(keys.kid) == f"{NOW} {grant.token_id}"
    home.revoke(grant.token_id, NOW + 60)
    now[0] += 1
    assert security.gate.find(keys.kid) == []
    (home.root / "revoked.json").write_text("{")
    now[0] += 1
    assert security.gate.learn(announce, peer) is None  # as what a neighbour tells
    assert security.gate.shown_with(keys.kid) == ""


def test_what_a_token_says_of_itself_is_shown_only_if_it_is_an_id(home: Home) -> None:
    told = refused(home.root, Admission(token=token_for(home, "x y\x1b", "A" * 43)))
    assert re.search("that of somebody; use the home folder", told)
    assert told.isprintable()
