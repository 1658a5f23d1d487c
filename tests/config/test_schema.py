"""What belongs together in a file, and every mistake with its line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fame_cli.config.schema import AgentConfig, SentinelConfig

Problems = Callable[..., list[str]]
Loaded = Callable[..., object]

SENTINEL = "kind: sentinel\n"
AGENT = "kind: agent\nagent:\n  import: m:C\n  address: a@fame.fabric\n"
OPERATION = "kind: agent\nagent:\n  address: a@fame.fabric\n  operations:\n    op:\n      "


def sentinel(loaded: Loaded, text: str) -> SentinelConfig:
    config = loaded(SENTINEL + text)
    assert isinstance(config, SentinelConfig)
    return config


def agent(loaded: Loaded, text: str) -> AgentConfig:
    config = loaded(text)
    assert isinstance(config, AgentConfig)
    return config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("peer: []\n", 'a.yaml:2:1: unknown key "peer"; did you mean "peers"'),
        ("Listen: a:1\n", 'a.yaml:2:1: unknown key "Listen"; did you mean "listen"'),
        ("zzz: 1\n", 'a.yaml:2:1: unknown key "zzz"; use kind, id, security, admission, log, wire, delivery, storage'),
        ("limits: {maxLinks: 5}\n", 'a.yaml:2:10: unknown key "maxLinks" in limits; did you mean "max_links"'),
        ("peers: ws://x\n", 'a.yaml:2:8: peers: not a list; write it as "- item" lines'),
        ("peers: [x]\n", 'a.yaml:2:9: peers[0]: not a mapping; write it as "key: value" lines'),
        ("peers: [{}]\n", "a.yaml:2:9: peers[0].direct_url is missing; add direct_url: ws://127.0.0.1:8000"),
        ("peers:\n  - direct_url:\n", "a.yaml:3:16: peers[0].direct_url: no value; add direct_url: ws://127.0.0.1"),
        ("listen: [a]\n", "a.yaml:2:9: listen: not a text"),
        ("listen: 8000\n", 'a.yaml:2:9: listen: "8000" isn\'t host:port'),
        ("id: a b\n", 'a.yaml:2:5: id: "a b" can\'t be a node id'),
        ("security: open\n", "a.yaml:2:11: security: not a mapping"),
        ("security: {profile: gatd}\n", 'a.yaml:2:21: security.profile: unknown "gatd"; use open, gated, overlay'),
        (
            "security: {tls: {key: k}}\n",
            'security.tls.key: "k" is of no use without its certificate; add tls.certificate',
        ),
        ("security: {tls: {clients: required}}\n", '"required" needs authorities'),
        ("security: {issuers: [{issuer: x, audience: a}]}\n", '"x" has no keys; add jwks_url or key_file'),
        ("security: {grants: [{roles: [king]}]}\n", '"king" isn\'t a role; use agent, client, peer, admin'),
        ("security: {grants: [{node: ^a}]}\n", '"^a" isn\'t a pattern'),
        ("admission: {token: t, token_file: f}\n", "token and token_file exclude each other"),
        ("admission: {token_url: 'http://h/t'}\n", "needs client_id and client_secret"),
        ("admission: {profile: direct}\n", '"direct" needs a token'),
        ("log: {level: trace}\n", 'a.yaml:2:14: log.level: unknown "trace"; use debug, info, warning or error'),
        ("limits: {max_links: many}\n", 'a.yaml:2:21: limits.max_links: "many" isn\'t a whole number'),
        ("limits: {max_links: '5'}\n", 'a.yaml:2:21: limits.max_links: "5" is text, because it is in quotes'),
        ("limits: {max_links: 0}\n", 'a.yaml:2:21: limits.max_links: "0" is out of range; use at least 1'),
        ("limits: {max_links: 9999999}\n", "use at most 1000000"),
        ("upstream: {}\n", "a.yaml:2:11: upstream.direct_url is missing; add direct_url"),
        ("timeout_s: 5\n", 'a.yaml:2:1: unknown key "timeout_s"'),
    ],
)
def test_a_mistake_is_one_line_with_its_place(problems: Problems, text: str, said: str) -> None:
    assert problems(SENTINEL + text)[0].startswith(said) or said in problems(SENTINEL + text)[0]


def test_all_mistakes_are_found_in_the_order_of_the_file(problems: Problems) -> None:
    lines = problems("kind: sentinel\nlisten: x\npeer: []\nlog: {level: loud, lvl: 1}\n")
    assert [line.split(" ")[0] for line in lines] == ["a.yaml:2:9:", "a.yaml:3:1:", "a.yaml:4:14:", "a.yaml:4:20:"]


def test_a_misspelt_key_is_not_missing_as_well(problems: Problems) -> None:
    assert len(problems("kind: agent\nagent: {import: m:C, adress: a@b}\n")) == 1


@pytest.mark.parametrize("value", ["", "~", "[]"])
def test_an_empty_value_means_the_default(loaded: Loaded, value: str) -> None:
    assert sentinel(loaded, f"peers: {value}\n").peers == []


def test_an_empty_variable_means_the_default(loaded: Loaded) -> None:
    assert sentinel(loaded, 'id: "${env:NOPE:}"\nlisten: ${NOPE:-}\n').listen == "127.0.0.1:8000"


def test_the_field_decides_what_a_variable_is(loaded: Loaded) -> None:
    config = sentinel(loaded, 'id: ${N:-7}\nlimits: {max_links: "${N:-7}"}\n')
    assert (config.id, config.limits.max_links) == ("7", 7)


def test_yaml_words_stay_text_where_text_is_wanted(loaded: Loaded) -> None:
    assert sentinel(loaded, "id: on\n").id == "on"


def test_a_public_address_needs_to_be_allowed(problems: Problems) -> None:
    said = problems(SENTINEL + "listen: 0.0.0.0:8000\n")[0]
    assert said.startswith('a.yaml:2:9: listen: others can reach "0.0.0.0:8000"')
    assert "FAME_ALLOW_OPEN_PUBLIC=true" in said


def test_a_public_address_can_be_allowed(loaded: Loaded) -> None:
    config = sentinel(loaded, "listen: 0.0.0.0:8000\nsecurity: {allow_open_public: true}\n")
    assert (config.listen_host, config.listen_port) == ("0.0.0.0", 8000)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("peers:\n  - direct_url: ws://localhost:8000/fame/v1/attach/ws/peer\n", "a.yaml:3:17: peers[0].direct_url: "),
        ("upstream:\n  direct_url: ws://127.0.0.1:8000/fame/v1/attach/ws/downstream\n", "a.yaml:3:15: upstream"),
    ],
)
def test_a_sentinel_is_not_its_own_neighbour(problems: Problems, text: str, place: str) -> None:
    said = problems(SENTINEL + text)[0]
    assert said.startswith(place)
    assert "is this sentinel itself" in said


def test_a_peer_is_named_once(problems: Problems) -> None:
    peer = "  - direct_url: ws://h:1/fame/v1/attach/ws/peer\n"
    assert problems(SENTINEL + "peers:\n" + peer * 2)[0].startswith("a.yaml:4:17: peers[1].direct_url: ")


def test_the_logical_name_of_an_agent_is_the_host_of_its_address(loaded: Loaded) -> None:
    assert agent(loaded, "kind: agent\nagent: {import: m:C, address: a@acme.corp}\n").logicals == ["acme.corp"]


@pytest.mark.parametrize("names", ["[acme.corp]", "['*.corp']", "['*']"])
def test_an_address_within_the_logical_names_is_taken(loaded: Loaded, names: str) -> None:
    text = f"kind: agent\nlogicals: {names}\nagent: {{import: m:C, address: a@acme.corp}}\n"
    assert agent(loaded, text).agent.address == "a@acme.corp"


def test_an_address_outside_the_logical_names_is_refused(problems: Problems) -> None:
    text = "kind: agent\nlogicals: [fame.fabric]\nagent: {import: m:C, address: a@acme.corp}\n"
    assert problems(text)[0].startswith('a.yaml:3:31: agent.address: the host of "a@acme.corp" isn\'t among logicals')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: agent\n", "a.yaml:1:1: agent is missing; add agent: {import: "),
        ("kind: agent\nagent: m:C\n", "a.yaml:2:8: agent: not a mapping"),
        ("kind: agent\nagent: {address: a@b}\n", "a.yaml:2:8: agent: nothing answers the calls"),
        ("kind: agent\nagent: {address: a@b, operations: {}}\n", "a.yaml:2:8: agent: nothing answers the calls"),
        ("kind: agent\nagent: {import: m:C}\n", "a.yaml:2:8: agent.address is missing; add address: math1@fame.fabric"),
        ("kind: agent\nagent: {import: m.C, address: a@b}\n", 'a.yaml:2:17: agent.import: "m.C" isn\'t module:Class'),
        ("kind: agent\nagent: {import: m:C, address: a}\n", 'a.yaml:2:31: agent.address: "a" isn\'t an address'),
        (AGENT + "  operations: {}\n", "a.yaml:5:15: agent.operations: import and operations exclude each other"),
        (AGENT + "  max_concurrent: 0\n", 'a.yaml:5:19: agent.max_concurrent: "0" is out of range'),
        (AGENT + "  capabilities: [a b]\n", 'a.yaml:5:18: agent.capabilities[0]: "a b" can\'t name a capability'),
        (AGENT + "  init: {x: .nan}\n", 'a.yaml:5:13: agent.init.x: ".nan" is no number'),
        (OPERATION + "stream: no\n", "a.yaml:6:7: agent.operations.op: nothing answers the operation"),
        (
            OPERATION + "template: x\n      command: [x]\n",
            "a.yaml:7:16: agent.operations.op.command: template and command",
        ),
        (OPERATION + "template: x\n      stream: yes\n", "a.yaml:7:15: agent.operations.op.stream: only a command"),
        (OPERATION + "template: '{{ x'\n", "a.yaml:6:17: agent.operations.op.template: the template's line 1"),
        (OPERATION + "command: []\n", "a.yaml:6:16: agent.operations.op.command: the list is empty"),
        (OPERATION + "command: ['']\n", "a.yaml:6:17: agent.operations.op.command[0]: the program has no name"),
        (OPERATION + "command: wc -w\n", "a.yaml:6:16: agent.operations.op.command: not a list"),
        (OPERATION + "http: {url: x}\n", 'a.yaml:6:19: agent.operations.op.http.url: "x" doesn\'t begin with http://'),
        (OPERATION + "http: {url: http://h, headers: {a b: c}}\n", "headers.a b: not a header name"),
        (OPERATION + "http: {url: http://h}\n      result: text\n", "a.yaml:7:15: agent.operations.op.result: an HTTP"),
        (
            OPERATION + "template: x\n      params: {1a: {type: string}}\n",
            "a.yaml:7:16: agent.operations.op.params.1a: ",
        ),
        (OPERATION + "template: x\n      params: {a: {}}\n", "params.a.type is missing; add type: string"),
        (OPERATION + "template: x\n      params: {a: {type: int}}\n", 'type: unknown "int"; did you mean "integer"'),
        (OPERATION + "template: x\n      params: {a: {type: integer, default: x}}\n", "a.yaml:7:44: agent.operations"),
        (OPERATION + "template: x\n      params: {a: {type: array, default: 5}}\n", "the default isn't of type array"),
        (OPERATION + "template: x\n      timeout_s: 0\n", 'timeout_s: "0" is out of range; use more than 0'),
        ("kind: client\ntimeout_s: soon\n", 'a.yaml:2:12: timeout_s: "soon" isn\'t a number'),
    ],
)
def test_a_mistake_in_an_agent_is_one_line_with_its_place(problems: Problems, text: str, said: str) -> None:
    assert said in problems(text)[0]


def test_the_name_of_an_operation_is_checked_at_its_place(problems: Problems) -> None:
    text = "kind: agent\nagent:\n  address: a@b\n  operations:\n    a b: {template: x}\n"
    assert problems(text)[0].startswith('a.yaml:5:5: agent.operations.a b: "a b" can\'t name an operation')


def test_an_http_operation_gives_json(loaded: Loaded) -> None:
    operations = agent(loaded, OPERATION + "http: {url: http://h, method: get}\n").agent.operations
    assert operations is not None
    assert operations["op"].result == "json"
    assert operations["op"].http is not None
    assert operations["op"].http.method == "GET"


def test_the_default_of_a_parameter_has_its_type(loaded: Loaded) -> None:
    text = (
        OPERATION
        + 'template: x\n      params: {a: {type: integer, default: "${N:-7}"}, b: {type: string, default: 7}}\n'
    )
    operations = agent(loaded, text).agent.operations
    assert operations is not None
    params = operations["op"].params
    assert (params["a"].default, params["b"].default) == (7, "7")


def test_a_null_default_is_a_default(loaded: Loaded) -> None:
    operations = agent(
        loaded, OPERATION + "template: x\n      params: {a: {type: string, default: ~}, b: {type: string}}\n"
    )
    params = (operations.agent.operations or {})["op"].params
    assert (params["a"].has_default, params["b"].has_default) == (True, False)


def test_arguments_for_a_constructor_are_read_as_yaml_reads_them(loaded: Loaded) -> None:
    text = AGENT + '  init: {a: 1, b: "1", c: yes, d: true, e: ${N:-2}, f: "${N:-2}", g: [~, 1.5]}\n'.replace(
        "${N:-2}, f", '"${N:-2}", f'
    )
    assert agent(loaded, text).agent.init == {
        "a": 1,
        "b": "1",
        "c": "yes",
        "d": True,
        "e": "2",
        "f": "2",
        "g": [None, 1.5],
    }


def test_an_unquoted_variable_among_them_is_read_like_what_it_stands_for(loaded: Loaded) -> None:
    assert agent(loaded, AGENT + "  init:\n    n: ${N:-2}\n").agent.init == {"n": 2}


def test_a_secret_is_not_repeated_in_an_error(problems: Problems) -> None:
    text = "kind: agent\nagent: {import: m:C, address: '${API_TOKEN}'}\n"
    said = problems(text, {"API_TOKEN": "hunter2"})[0]
    assert "hunter2" not in said
    assert "***" in said


def test_a_config_knows_its_folder(loaded: Loaded) -> None:
    assert sentinel(loaded, "").base_dir == Path()
    assert sentinel(loaded, "").file == Path("a.yaml")
