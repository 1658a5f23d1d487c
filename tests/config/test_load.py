"""Files, variables and flags: where they are found, which one wins, and what a fabric makes of them."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fame_cli.config.load import Kind, find, load, load_any
from fame_cli.config.plain import environment
from fame_cli.errors import ConfigError, FameError, UsageError

Write = Callable[..., Path]

PARENT = "ws://parent:8000/fame/v1/attach/ws/downstream"
OWN = "ws://localhost:8000/fame/v1/attach/ws/downstream"
PEER = "ws://other:8000/fame/v1/attach/ws/peer"
SENTINEL = "kind: sentinel\nid: s1\nlisten: 127.0.0.1:8000\n"
AGENT = f"kind: agent\nupstream: {{direct_url: {PARENT}}}\nagent: {{import: 'm:C', address: a@fame.fabric}}\n"


@pytest.fixture
def without_picows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it looked for as where the extra isn't installed."""
    monkeypatch.setitem(sys.modules, "picows", None)


@pytest.mark.usefixtures("without_picows")
def test_a_transport_that_is_not_installed_is_refused_where_it_is_asked_for(write: Write) -> None:
    what = r"picows isn't installed; install the extra `fast` \(pip install picows\), or use websockets$"
    path = write(SENTINEL + "wire:\n  transport: picows\n")
    with pytest.raises(ConfigError, match=rf"a\.yaml:5:14: wire\.transport: {what}"):
        load_any(path, env={})
    with pytest.raises(ConfigError, match=f"^FAME_TRANSPORT: (wire.transport: )?{what}"):
        load(None, kind="client", env={"FAME_TRANSPORT": "picows"})
    assert load(None, kind="client", env={"FAME_TRANSPORT": "auto"}).wire.transport == "auto"


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_file_is_found_as_given(write: Write) -> None:
    assert find(write(SENTINEL, "x/s.yaml")) == Path("x/s.yaml")


def test_a_file_is_found_in_configs(write: Write) -> None:
    write(SENTINEL, "configs/s.yaml")
    assert find("s.yaml") == Path("configs/s.yaml")


def test_the_current_folder_comes_before_configs(write: Write) -> None:
    write(SENTINEL, "configs/s.yaml")
    write(SENTINEL, "s.yaml")
    assert find("s.yaml") == Path("s.yaml")


def test_a_file_that_is_not_there_is_answered_with_the_nearest(write: Write) -> None:
    write(SENTINEL, "configs/peer1.yaml")
    with pytest.raises(ConfigError, match=r'pear1.yaml: no such file here or in configs/; did you mean "peer1.yaml"'):
        find("pear1.yaml")


@pytest.mark.parametrize("name", ["/nowhere/x.yaml", "x\0y", "n" * 5_000])
def test_a_file_that_cannot_be_there_is_an_error(write: Write, name: str) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        find(name)


@pytest.mark.parametrize("name", ["", " ", "."])
def test_no_name_is_no_file(write: Write, name: str) -> None:
    write(SENTINEL)
    with pytest.raises(ConfigError, match=r"^no file is named; give the name of a YAML file, or leave the option out$"):
        find(name)


def test_a_folder_is_no_file(write: Write) -> None:
    path = write(SENTINEL, "x/s.yaml").parent
    with pytest.raises(ConfigError, match="x: can't be read: Is a directory"):
        load(path, kind="sentinel", env={})


def test_a_file_must_be_utf_8(write: Write) -> None:
    path = write("")
    path.write_bytes(b"kind: client\nid: \xff\n")
    with pytest.raises(ConfigError, match=r"^a.yaml:2:5: not UTF-8 text"):
        load(path, kind="client", env={})


def test_a_byte_order_mark_is_no_mistake(write: Write) -> None:
    assert load(write("\ufeffkind: client\nid: c\n"), kind="client", env={}).id == "c"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id: x\n", "a.yaml:1:1: kind is missing; begin with kind: sentinel, agent, client, fabric"),
        ("knd: client\n", 'a.yaml:1:1: kind is missing; did you mean "kind" for "knd"'),
        ("kind: agnet\n", 'a.yaml:1:7: kind: unknown "agnet"; did you mean "agent"'),
        ("kind: [agent]\n", "a.yaml:1:7: kind wants one word; use sentinel, agent, client, fabric"),
        ("kind:\n", "a.yaml:1:6: kind wants one word; use sentinel, agent, client, fabric"),
        (SENTINEL, "a.yaml:1:7: the file of a node of kind sentinel, not client; run: fame sentinel --config a.yaml"),
    ],
)
def test_a_file_of_another_kind_is_refused(write: Write, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(text), kind="client", env={})
    assert str(caught.value) == said


# --- precedence ------------------------------------------------------------------------------------------------------


def test_without_anything_the_defaults_hold() -> None:
    assert load(None, kind="sentinel", env={}).listen == "127.0.0.1:8000"
    assert load(None, kind="client", env={}).upstream.direct_url == "ws://127.0.0.1:8000/fame/v1/attach/ws/downstream"


def test_the_file_is_over_the_default(write: Write) -> None:
    assert load(write("kind: client\ntimeout_s: 5\n"), kind="client", env={}).timeout_s == 5


def test_the_variable_is_over_the_file(write: Write) -> None:
    path = write("kind: client\nid: c\nlog: {level: error, format: json}\n")
    config = load(path, kind="client", env={"FAME_NODE_ID": "v", "FAME_LOG_LEVEL": "DEBUG"})
    assert (config.id, config.log.level, config.log.format) == ("v", "debug", "json")


def test_the_flag_is_over_the_variable(write: Write) -> None:
    path = write("kind: client\nid: c\nlog: {level: error}\n")
    env = {"FAME_NODE_ID": "v", "FAME_LOG_LEVEL": "debug", "FAME_DIRECT_ADMISSION_URL": OWN}
    flags = {"id": "f", "log.level": "info", "upstream.direct_url": PARENT, "timeout_s": 2.5}
    config = load(path, kind="client", env=env, overrides=flags)
    assert (config.id, config.log.level, config.upstream.direct_url, config.timeout_s) == ("f", "info", PARENT, 2.5)


def test_a_flag_that_was_not_given_changes_nothing(write: Write) -> None:
    path = write(SENTINEL + f"peers: [{{direct_url: '{PEER}'}}]\n")
    config = load(path, kind="sentinel", env={}, overrides={"id": None, "listen": None, "peers": []})
    assert (config.id, config.peers[0].direct_url) == ("s1", PEER)


def test_peers_of_flags_replace_those_of_the_file(write: Write) -> None:
    path = write(SENTINEL + f"peers: [{{direct_url: '{PEER}'}}]\n")
    other = PEER.replace("other", "third")
    config = load(path, kind="sentinel", env={}, overrides={"peers": [other]})
    assert [peer.direct_url for peer in config.peers] == [other]


def test_an_agent_needs_no_file() -> None:
    config = load(None, kind="agent", env={}, overrides={"agent.import": "m:C", "agent.address": "a@b"})
    assert (config.agent.import_, config.agent.address, config.logicals) == ("m:C", "a@b", ["b"])


def test_a_bad_flag_is_a_usage_error() -> None:
    with pytest.raises(UsageError) as caught:
        load(None, kind="sentinel", env={}, overrides={"listen": "foo"})
    assert str(caught.value).startswith('--listen: "foo" isn\'t host:port')


def test_what_is_missing_without_a_file_names_the_flag() -> None:
    with pytest.raises(UsageError) as caught:
        load(None, kind="agent", env={}, overrides={"agent.import": "m:C"})
    assert str(caught.value) == "agent.address is missing; give --address, or a file with --config"


def test_a_bad_variable_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, kind="sentinel", env={"FAME_LOG_LEVEL": "loud"})
    assert str(caught.value) == 'FAME_LOG_LEVEL: log.level: unknown "loud"; use debug, info, warning or error'


def test_an_empty_variable_counts_as_not_set(write: Write) -> None:
    env = dict.fromkeys(("FAME_NODE_ID", "FAME_LISTEN", "FAME_SENTINEL_PORT", "FAME_LOG_LEVEL"), "")
    assert load(write(SENTINEL), kind="sentinel", env=env).id == "s1"


def test_loading_twice_gives_the_same(write: Write) -> None:
    path, env = write(SENTINEL + "log: {format: json}\n"), {"FAME_LOG_LEVEL": "debug"}
    assert load(path, kind="sentinel", env=env) == load(path, kind="sentinel", env=env)


def test_the_environment_is_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAME_NODE_ID", "me")
    assert environment()["FAME_NODE_ID"] == "me"


# --- the variables of a sentinel -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "listen"),
    [
        ({"FAME_SENTINEL_PORT": "9000"}, "127.0.0.1:9000"),
        ({"FAME_LISTEN": "localhost:0"}, "localhost:0"),
        ({"FAME_LISTEN": "localhost:0", "FAME_SENTINEL_PORT": "9000"}, "localhost:0"),
        ({"FAME_LISTEN": "0.0.0.0:1", "FAME_ALLOW_OPEN_PUBLIC": "1"}, "0.0.0.0:1"),
    ],
)
def test_variables_say_where_to_listen(env: dict[str, str], listen: str) -> None:
    assert load(None, kind="sentinel", env=env).listen == listen


def test_the_port_variable_keeps_the_host_of_the_file(write: Write) -> None:
    path = write("kind: sentinel\nlisten: localhost:7\n")
    assert load(path, kind="sentinel", env={"FAME_SENTINEL_PORT": "9000"}).listen == "localhost:9000"


def test_a_bad_port_is_reported_by_its_variable() -> None:
    with pytest.raises(ConfigError, match=r"^FAME_SENTINEL_PORT: listen: "):
        load(None, kind="sentinel", env={"FAME_SENTINEL_PORT": "http"})


def test_without_a_file_the_peer_variable_is_a_peer() -> None:
    assert load(None, kind="sentinel", env={"FAME_PEER_WS_URL": PEER}).peers[0].direct_url == PEER


@pytest.mark.parametrize("peers", ["", "peers: []\n", "peers: [{direct_url: 'ws://x:1/fame/v1/attach/ws/peer'}]\n"])
def test_with_a_file_the_peer_variable_acts_only_where_the_file_names_it(write: Write, peers: str) -> None:
    config = load(write(SENTINEL + peers), kind="sentinel", env={"FAME_PEER_WS_URL": PEER})
    assert PEER not in [peer.direct_url for peer in config.peers]


def upstream(path: Path | None, **env: str) -> str | None:
    config = load(path, kind="sentinel", env={f"FAME_{name}": value for name, value in env.items()})
    return config.upstream.direct_url if config.upstream else None


def test_a_client_variable_makes_no_child_of_a_sentinel(write: Write) -> None:
    assert upstream(write(SENTINEL), DIRECT_ADMISSION_URL=PARENT, ADMISSION_PROFILE="open") is None
    assert upstream(None, DIRECT_ADMISSION_URL=PARENT) is None


def test_the_open_profile_makes_a_child_of_a_sentinel_without_a_file() -> None:
    assert upstream(None, DIRECT_ADMISSION_URL=PARENT, ADMISSION_PROFILE="open") == PARENT


def test_a_sentinel_with_peers_is_no_child() -> None:
    assert upstream(None, DIRECT_ADMISSION_URL=PARENT, ADMISSION_PROFILE="open", PEER_WS_URL=PEER) is None


def test_peers_of_flags_count_too() -> None:
    env = {"FAME_DIRECT_ADMISSION_URL": PARENT, "FAME_ADMISSION_PROFILE": "open"}
    assert load(None, kind="sentinel", env=env, overrides={"peers": [PEER]}).upstream is None


def test_a_sentinel_is_never_a_child_of_itself(write: Write) -> None:
    path = write(SENTINEL + f"upstream: {{direct_url: '{PARENT}'}}\n")
    assert upstream(None, DIRECT_ADMISSION_URL=OWN, ADMISSION_PROFILE="open") is None
    assert upstream(path, DIRECT_ADMISSION_URL=OWN) == PARENT


def test_the_variable_is_over_the_parent_of_the_file(write: Write) -> None:
    path = write(SENTINEL + f"upstream: {{direct_url: '{PARENT}'}}\n")
    assert upstream(path, DIRECT_ADMISSION_URL=PARENT.replace("parent", "other")) == PARENT.replace("parent", "other")


def test_the_none_profile_makes_a_root(write: Write) -> None:
    assert upstream(write(SENTINEL + f"upstream: {{direct_url: '{PARENT}'}}\n"), ADMISSION_PROFILE="none") is None


@pytest.mark.parametrize("kind", ["agent", "client"])
def test_the_none_profile_leaves_others_without_a_sentinel(kind: str, write: Write) -> None:
    path = write(AGENT if kind == "agent" else "kind: client\n")
    with pytest.raises(ConfigError, match=r'^FAME_ADMISSION_PROFILE: "none" leaves this'):
        load_any(path, env={"FAME_ADMISSION_PROFILE": "none"})


@pytest.mark.parametrize(("profile", "said"), [("welcome", "isn't available yet"), ("welcom", "unknown")])
def test_other_admission_profiles_are_refused(profile: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(None, kind="client", env={"FAME_ADMISSION_PROFILE": profile})


def test_the_admission_variable_is_over_the_file_of_an_agent(write: Write) -> None:
    config = load(write(AGENT), kind="agent", env={"FAME_DIRECT_ADMISSION_URL": OWN})
    assert config.upstream.direct_url == OWN


@pytest.mark.parametrize(("value", "shown"), [("true", True), ("1", False), ("TRUE", False), ("", False)])
def test_only_exactly_true_shows_envelopes(value: str, shown: bool) -> None:
    assert load(None, kind="client", env={"FAME_SHOW_ENVELOPES": value}).log.show_envelopes is shown


@pytest.mark.parametrize("kind", ["sentinel", "agent", "client"])
def test_the_variables_of_the_wire_act_on_every_kind_of_node(write: Write, kind: Kind) -> None:
    files = {"sentinel": SENTINEL, "agent": AGENT, "client": "kind: client\n"}
    path = write(files[kind] + "wire: {transport: picows, batch: true}\n")
    env = {"FAME_TRANSPORT": "WebSockets", "FAME_BATCH": "0"}
    config = load(path, kind=kind, env=env)
    assert (config.wire.transport, config.wire.batch) == ("websockets", False)


def test_an_unknown_transport_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, kind="client", env={"FAME_TRANSPORT": "tcp"})
    assert str(caught.value) == 'FAME_TRANSPORT: wire.transport: unknown "tcp"; use auto, websockets or picows'


# --- whatever a file holds -------------------------------------------------------------------------------------------

KEYS = [
    *("kind", "node", "nodes", "name", "id", "listen", "peers", "upstream", "direct_url", "agent", "address", "import"),
    *("config", "env", "log", "level", "security", "profile", "operations", "op", "params", "type", "default", "init"),
    *("template", "command", "http", "url", "headers", "limits", "max_links", "timeout_s"),
    *("issuers", "issuer", "audience", "jwks_url", "key_file", "grant", "grants", "subject", "roles", "tls", "clients"),
    *("plain_hosts", "policy", "admission", "token", "token_file", "token_url", "client_id", "skew_s", "attach_s"),
]
VALUES = [
    *(
        "sentinel",
        "agent",
        "client",
        "fabric",
        "x",
        "${X}",
        "${Y:-1}",
        "$",
        "0",
        "-1",
        "1.5",
        "true",
        "~",
        "''",
        ".nan",
    ),
    *("string", "open", "a@b", "m:C", "127.0.0.1:1", "http://h"),
    *("ws://h/fame/v1/attach/ws/peer", "ws://h/fame/v1/attach/ws/downstream"),
    *("gated", "direct", "http://[", "https://[::1]:x", "**", "^a", "peer", "~x", "required"),
]
WORDS = st.sampled_from(KEYS + VALUES)
TREES = st.recursive(
    WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)


def flow(tree: object) -> str:
    if isinstance(tree, dict):
        return "{" + ", ".join(f'"{key}": {flow(value)}' for key, value in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(flow, tree)) + "]"
    return f'"{tree}"' if "$" in str(tree) else str(tree)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from(["sentinel", "agent", "client", "fabric"]),
    st.dictionaries(st.sampled_from(KEYS), TREES, max_size=6),
)
def test_any_tree_gives_a_config_or_a_config_error(write: Write, kind: str, tree: dict[str, object]) -> None:
    path = write(flow({"kind": kind, **tree}))
    try:
        load_any(path, env={"X": "${X}"})
    except FameError as error:
        said = str(error)
    else:
        said = ""
    assert "\n" not in said


def test_a_misspelt_key_below_one_that_begins_like_a_mark_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    operations = "agent:\n  address: a@fame.fabric\n  operations:\n    <<here: {description: Say it., sdmplate: x}\n"
    file.write_text(f"kind: agent\nid: a\nupstream: {{direct_url: {PARENT}}}\n{operations}", encoding="utf-8")
    with pytest.raises(ConfigError, match='unknown key "sdmplate"'):
        load(file, kind="agent", env={})
