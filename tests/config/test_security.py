"""What a file and the variables say about security: whose tokens count, what is shown where, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from fame_cli.config.load import AnyConfig, fabric_nodes, load, load_any
from fame_cli.config.schema import AdmissionConfig, AgentConfig, ClientConfig, SentinelConfig
from fame_cli.config.show import resolved_yaml
from fame_cli.core.grant import Grant
from fame_cli.core.limits import Limits
from fame_cli.errors import ConfigError, FameError
from fame_cli.net.handshake import Shown
from fame_cli.security.settings import Admission, Issuer, SecuritySettings, Tls

Write = Callable[..., Path]
Problems = Callable[..., list[str]]
Loaded = Callable[..., AnyConfig]

DOWN, PEER = "/fame/v1/attach/ws/downstream", "/fame/v1/attach/ws/peer"
SENTINEL, CLIENT = "kind: sentinel\n", "kind: client\n"
AGENT = "kind: agent\nagent: {import: 'm:C', address: a@fame.fabric}\n"
SERVER = {
    "FAME_ADMISSION_TOKEN_URL": "https://idp/token",
    "FAME_ADMISSION_CLIENT_ID": "me",
    "FAME_ADMISSION_CLIENT_SECRET": "hunter2",
}
WHOLE = """\
kind: sentinel
security:
  profile: gated
  fabric: acme
  home: home
  issuers:
    - issuer: https://idp
      audience: acme
      algorithm: RS256
      key_file: keys/idp.pem
      scope: x
      grant: {node: "c-*", roles: [client], addresses: [], capabilities: ["op:*"], prefixes: ["a@**"]}
  grants:
    - {subject: "ci-*", issuer: https://idp, roles: [admin]}
  tls: {certificate: tls/cert.pem, key: /etc/key.pem, authorities: ~/ca.pem, clients: optional}
  plain_hosts: [S1.example, "::1"]
  audit: audit.jsonl
  skew_s: 5
  encryption: plain
admission: {token_file: t.jwt, audience: acme, scope: a b}
"""


def told(config: AnyConfig) -> SecuritySettings:
    """Return what the node of a config is told."""
    assert isinstance(config, SentinelConfig | AgentConfig | ClientConfig)
    settings = config.security_settings()
    assert settings is not None
    return settings


def said(env: dict[str, str], text: str = SENTINEL, **more: str) -> SentinelConfig:
    """Return the sentinel of a file in the current folder, with variables."""
    Path("a.yaml").write_text(text, encoding="utf-8")
    return load(Path("a.yaml"), kind="sentinel", env=env | more)


# --- files -----------------------------------------------------------------------------------------------------------


def test_everything_a_file_says_gets_to_the_node(write: Write) -> None:
    settings = told(load_any(write(WHOLE, "deep/a.yaml"), env={})[0])
    folder = Path("deep")
    allowed = Grant("**", "c-*", frozenset({"client"}), (), ("op:*",), ("a@**",))
    admin = Grant("ci-*", "**", frozenset({"admin"}), ("**",), ("**",), ("**",), issuer="https://idp")
    assert settings == SecuritySettings(
        profile="gated",
        home=folder / "home",
        fabric="acme",
        issuers=(Issuer("https://idp", "acme", "RS256", "", folder / "keys/idp.pem", "x", allowed),),
        grants=(admin,),
        admission=Admission(token_file=folder / "t.jwt", audience="acme", scope="a b"),
        tls=Tls(folder / "tls/cert.pem", Path("/etc/key.pem"), Path("~/ca.pem").expanduser(), "optional"),
        plain_hosts=("s1.example", "::1"),
        audit=folder / "audit.jsonl",
        skew_s=5.0,
        encryption="plain",
    )


@pytest.mark.parametrize("text", [SENTINEL, AGENT, CLIENT])
def test_a_node_of_which_nothing_is_said_has_nothing_of_security(loaded: Loaded, text: str) -> None:
    config = loaded(text)
    assert isinstance(config, SentinelConfig | AgentConfig | ClientConfig)
    assert config.security_settings() is None


@pytest.mark.parametrize("text", [SENTINEL, AGENT, CLIENT])
@pytest.mark.parametrize("profile", ["gated", "Overlay", "strict-overlay"])
def test_the_profile_of_any_node_is_one_variable(write: Write, tmp_path: Path, text: str, profile: str) -> None:
    config, _ = load_any(write(text), env={"FAME_SECURITY_PROFILE": profile, "FAME_HOME": str(tmp_path)})
    assert (told(config).profile, told(config).home) == (profile.lower(), tmp_path)


@pytest.mark.usefixtures("write")
def test_tokens_of_others_make_agents_and_clients_and_peers_only_with_their_scope() -> None:
    env = {"FAME_JWT_TRUSTED_ISSUER": "https://idp", "FAME_JWT_AUDIENCE": "x", "FAME_SECURITY_PROFILE": "gated"}
    issuer = said(env).security.issuers[0]
    everything = ("**",)
    assert issuer.grant.grant() == Grant("**", "**", {"agent", "client", "peer"}, everything, everything, everything)
    assert "node.peer" in (type(issuer.grant).model_fields["roles"].description or "")


def test_the_grant_of_an_issuer_is_for_all_its_subjects(problems: Problems) -> None:
    issuer = "security: {profile: gated, issuers: [{issuer: https://i, audience: a, grant: {subject: x}}]}\n"
    assert 'unknown key "subject" in security.issuers[0].grant' in problems(SENTINEL + issuer)[0]


def test_where_nothing_says_where_the_keys_of_an_issuer_are_they_are_at_the_usual_place(loaded: Loaded) -> None:
    config = loaded(SENTINEL + "security: {profile: gated, issuers: [{issuer: https://idp/x/, audience: a}]}\n")
    assert told(config).issuers[0].jwks_url == "https://idp/x/.well-known/jwks.json"


@pytest.mark.parametrize(
    ("section", "what"),
    [
        ("security: {profile: overlay-callback}", "which fame doesn't; use overlay"),
        ("security: {issuers: [{issuer: https://i}]}", "issuers[0].audience is missing; add audience: fame.fabric"),
        ("security: {issuers: [{issuer: i, audience: a}]}", '"i" has no keys; add jwks_url or key_file'),
        ("security: {issuers: [{issuer: 'http://[i', audience: a}]}", "isn't the URL of a server"),
        (
            "security: {issuers: [{issuer: i, audience: a, jwks_url: http://h, key_file: k}]}",
            "jwks_url and key_file exclude each other; keep one",
        ),
        (
            "security: {profile: gated, issuers: [{issuer: https://i, audience: a}, {issuer: https://i, audience: b}]}",
            'issuers[1].issuer: "https://i" is there twice; keep one',
        ),
        (
            "security: {issuers: [{issuer: i, audience: a, key_file: k, algorithm: HS256}]}",
            'unknown "HS256"; use EdDSA, RS256 or ES256',
        ),
        (
            "security: {profile: gated, issuers: [{issuer: http://i, audience: a}]}",
            'issuers[0].issuer: "http://i" would have its keys come in the clear; use https://, or add i to',
        ),
        (
            "security: {profile: gated, issuers: [{issuer: i, audience: a, jwks_url: HTTP://j/k}]}",
            'issuers[0].jwks_url: "HTTP://j/k" would have its keys come in the clear; use https://, or add j to',
        ),
        ("security: {profile: gated, grants: [{issuer: https://i}]}", "isn't one of issuers; name one of them"),
        ("security: {grants: [{addresses: ['']}]}", "isn't a pattern"),
        ("security: {grants: [{roles: [peer, queen]}]}", 'roles[1]: "queen" isn\'t a role; use agent, client, peer'),
        ("security: {plain_hosts: ['ws://h']}", "isn't a host; write it like 10.0.0.5"),
        ("security: {plain_hosts: ['h:80']}", "isn't a host; write it like 10.0.0.5"),
        (
            "security: {tls: {certificate: c}}",
            'security.tls.certificate: "c" is of no use without its key; add tls.key',
        ),
        ("security: {tls: {clients: required}}", '"required" needs authorities to check them by; add tls.authorities'),
        ("security: {skew_s: 0}", "use more than 0"),
        ("security: {policy: ' '}", "can't name a file"),
        ("admission: {token_file: f, token_url: https://h}", "token_file and token_url exclude each other; keep one"),
        ("admission: {token_url: https://h/t, client_id: c}", "needs client_id and client_secret; add them"),
        ("admission: {token_url: http://h/t, client_id: c, client_secret: s}", "would show the client's secret"),
        ("admission: {client_id: c}", "client_id is for a token server, and none is named; add token_url"),
        ("admission: {token: two words}", "isn't a token; write the token alone"),
        ("admission: {profile: direct}", "needs a token; add token, token_file or token_url, or set FAME_ADMISSION"),
        (
            f"admission: {{profile: none}}\nupstream: {{direct_url: 'ws://127.0.0.1:1{DOWN}'}}",
            '"none" means no parent, and upstream names one; remove upstream, or use open',
        ),
        (
            f"peers: [{{direct_url: 'ws://127.0.0.1:1{PEER}', admission: {{profile: none}}}}]",
            'peers[0].admission.profile: "none" leaves no link to this peer; use open or direct',
        ),
        ("limits: {attach_s: 0}", "use more than 0"),
        ("limits: {unknown_keys: 0}", "use at least 1"),
        ("limits: {messages_per_s: -1}", "use at least 0"),
    ],
)
def test_what_can_t_be_is_said_at_its_place(problems: Problems, section: str, what: str) -> None:
    lines = problems(f"{SENTINEL}{section}\n")
    assert what in lines[0]
    assert lines[0].startswith("a.yaml:2:")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("issuers", "[{issuer: https://i, audience: a}]"),
        ("grants", "[{roles: [client]}]"),
        ("policy", "p.yaml"),
    ],
)
def test_rules_are_refused_where_nobody_has_chosen_that_they_count_or_not(
    problems: Problems, loaded: Loaded, name: str, rule: str
) -> None:
    text = f"security: {{{name}: {rule}}}\n"
    said = problems(SENTINEL + text)[0]
    assert said.startswith("a.yaml:2:")
    assert f"security.{name}: counts only above the open profile, and no profile is chosen; add security.prof" in said
    assert loaded(SENTINEL + text.replace("{", "{profile: open, ", 1))
    assert loaded(SENTINEL + text, {"FAME_SECURITY_PROFILE": "gated"})


@pytest.mark.parametrize("kind", [AGENT, CLIENT])
def test_a_node_that_needs_a_sentinel_is_not_left_without(problems: Problems, kind: str) -> None:
    assert '"none" leaves this node without a sentinel' in problems(kind + "admission: {profile: none}\n")[0]


# --- in the clear ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["10.0.0.5:8000", "S1.example", "[2001:db8::1]", "[2001:DB8::1]:80"])
@pytest.mark.parametrize("scheme", ["ws", "WS"])
def test_no_credential_goes_to_another_host_in_the_clear(problems: Problems, host: str, scheme: str) -> None:
    url = f"{scheme}://{host}"
    for kind, link in (
        (SENTINEL, f"upstream: {{direct_url: '{url}{DOWN}'}}\n"),
        (SENTINEL, f"peers: [{{direct_url: '{url}{PEER}'}}]\n"),
        (CLIENT, f"upstream: {{direct_url: '{url}{DOWN}'}}\n"),
    ):
        assert "would show credentials to whoever listens" in problems(f"{kind}{link}security: {{profile: gated}}\n")[0]
        assert "would show credentials" in problems(f"{kind}{link}admission: {{token: abc}}\n")[0]
        assert "would show credentials" in problems(kind + link, {"FAME_SECURITY_PROFILE": "overlay"})[0]


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("ws://127.0.0.1:8000", ""),
        ("ws://[::1]", ""),
        ("ws://localhost:1", ""),
        ("wss://s1.example", ""),
        ("WSS://s1.example", ""),
        ("ws://s1.example:8000", "S1.example"),
        ("ws://S1.EXAMPLE", "s1.example"),
        ("ws://[2001:DB8::1]:8000", "2001:db8::1"),
        ("ws://[2001:db8::1]", "'[2001:db8::1]'"),
    ],
)
def test_this_machine_tls_and_named_hosts_are_reached(loaded: Loaded, url: str, named: str) -> None:
    hosts = f"security: {{profile: strict-overlay, plain_hosts: [{named}]}}\n"
    config = loaded(f"{CLIENT}upstream: {{direct_url: '{url}{DOWN}'}}\n{hosts}")
    assert isinstance(config, ClientConfig)
    assert config.upstream.direct_url == url + DOWN


def test_what_the_open_profile_shows_nobody_may_go_in_the_clear(loaded: Loaded) -> None:
    assert loaded(f"{CLIENT}upstream: {{direct_url: 'ws://h{DOWN}'}}\n")


def test_a_peer_that_is_shown_a_token_of_its_own_is_not_shown_it_in_the_clear(problems: Problems) -> None:
    server = "{token_url: http://h/t, client_id: c, client_secret: s}"
    for url, admission, what in (
        ("ws://h", "{token: abc}", "peers[0].direct_url: "),
        ("wss://h", server, "peers[0].admission.token_url: "),
    ):
        text = f"{SENTINEL}peers: [{{direct_url: '{url}{PEER}', admission: {admission}}}]\n"
        assert what in problems(text)[0]
        assert "would show" in problems(text)[0]


@pytest.mark.parametrize(
    ("security", "taken"),
    [
        ("profile: gated", False),
        ("profile: gated, allow_open_public: true", False),
        ("profile: gated, behind_proxy: true", True),
        ("profile: gated, plain_hosts: [10.0.0.5]", True),
        ("profile: gated, plain_hosts: [10.0.0.6]", False),
        ("profile: gated, tls: {certificate: c, key: k}", True),
        ("profile: open, plain_hosts: [10.0.0.5]", False),
        ("profile: open, behind_proxy: true", False),
        ("profile: open, tls: {certificate: c, key: k}", False),
        ("profile: open, allow_open_public: true", True),
    ],
)
def test_a_sentinel_listens_to_other_machines_where_that_is_safe_or_asked_for(
    write: Write, security: str, taken: bool
) -> None:
    path = write(f"{SENTINEL}listen: 10.0.0.5:8000\nsecurity: {{{security}}}\n")
    if taken:
        assert load(path, kind="sentinel", env={}).listen_host == "10.0.0.5"
    else:
        with pytest.raises(ConfigError, match=r'^a\.yaml:2:9: listen: others can reach "10\.0\.0\.5:8000"'):
            load(path, kind="sentinel", env={})


# --- variables -------------------------------------------------------------------------------------------------------


def test_a_file_that_a_variable_names_is_looked_up_from_the_current_folder(write: Write) -> None:
    env = {
        "FAME_SECURITY_PROFILE": "gated",
        "FAME_HOME": "home",
        "FAME_AUDIT_LOG": "a.jsonl",
        "FAME_TLS_CERT": "c.pem",
        "FAME_TLS_KEY": "/k.pem",
        "FAME_TLS_CA": "~/ca.pem",
        "FAME_ADMISSION_TOKEN_FILE": "t.jwt",
    }
    settings = told(load(write(SENTINEL, "deep/a.yaml"), kind="sentinel", env=env))
    here = Path.cwd()
    assert (settings.home, settings.audit) == (here / "home", here / "a.jsonl")
    assert settings.tls == Tls(here / "c.pem", Path("/k.pem"), Path("~/ca.pem").expanduser())
    assert settings.admission.token_file == here / "t.jwt"


def test_a_policy_that_a_variable_names_is_one_of_the_current_folder(write: Write) -> None:
    path = write(SENTINEL, "deep/a.yaml")
    write("version: '1'\ntype: BasicAuthorizationPolicy\ndefault_effect: deny\nrules: []\n", "p.yaml")
    env = {"FAME_AUTH_POLICY_PATH": "p.yaml", "FAME_SECURITY_PROFILE": "open"}
    assert told(load(path, kind="sentinel", env=env)).policy is not None


def test_nobody_s_home_is_a_name_like_others(write: Write) -> None:
    config = load(write(SENTINEL + "security: {audit: ~nobody-of-this-name/a}\n"), kind="sentinel", env={})
    assert told(config).audit == Path("~nobody-of-this-name/a")


@pytest.mark.usefixtures("write")
def test_four_variables_make_one_issuer() -> None:
    env = {"FAME_JWT_TRUSTED_ISSUER": "https://idp", "FAME_JWT_AUDIENCE": "acme", "FAME_SECURITY_PROFILE": "gated"}
    first, second = (
        told(said(env, FAME_HOME="/h", **more)).issuers[0]
        for more in ({}, {"FAME_JWKS_URL": "https://keys/x", "FAME_JWT_ALGORITHM": "ES256"})
    )
    assert (first.issuer, first.audience, first.algorithm) == ("https://idp", "acme", "EdDSA")
    assert (first.jwks_url, second.jwks_url) == ("https://idp/.well-known/jwks.json", "https://keys/x")
    assert second.algorithm == "ES256"


@pytest.mark.usefixtures("write")
def test_the_issuer_of_the_variables_goes_before_its_namesake_in_the_file() -> None:
    listed = "security: {issuers: [{issuer: https://a, audience: x}, {issuer: https://b, audience: y}]}\n"
    env = {"FAME_JWT_TRUSTED_ISSUER": "https://b", "FAME_JWT_AUDIENCE": "z", "FAME_SECURITY_PROFILE": "gated"}
    found = said(env, SENTINEL + listed).security.issuers
    assert [(each.issuer, each.audience) for each in found] == [("https://b", "z"), ("https://a", "x")]


@pytest.mark.parametrize(
    ("env", "what"),
    [
        ({"FAME_JWT_TRUSTED_ISSUER": "https://i"}, "FAME_JWT_TRUSTED_ISSUER: needs FAME_JWT_AUDIENCE; set FAME_JWT_A"),
        ({"FAME_JWKS_URL": "https://i/k"}, "FAME_JWKS_URL: needs FAME_JWT_TRUSTED_ISSUER; set it, or unset this one"),
        (
            {"FAME_JWT_TRUSTED_ISSUER": "https://i", "FAME_JWT_AUDIENCE": "a", "FAME_JWT_ALGORITHM": "HS256"},
            'FAME_JWT_ALGORITHM: security.issuers[0].algorithm: unknown "HS256"; use EdDSA, RS256 or ES256',
        ),
        ({"FAME_DEFAULT_ENCRYPTION_LEVEL": "channel"}, "fame answers channels but opens none; use sealed or plaintext"),
        ({"FAME_DEFAULT_ENCRYPTION_LEVEL": "much"}, 'unknown level "much"'),
        ({"FAME_SECURITY_PROFILE": "gated-callback"}, "FAME_SECURITY_PROFILE: security.profile: "),
        ({"FAME_TLS_CERT": "c"}, "is of no use without its key; add tls.key"),
        ({"FAME_ADMISSION_PROFILE": "direct"}, 'FAME_ADMISSION_PROFILE: admission.profile: "direct" needs a token'),
        ({"FAME_ADMISSION_TOKEN_URL": "https://h"}, "FAME_ADMISSION_TOKEN_URL: admission.token_url: "),
        ({"FAME_ADMISSION_TOKEN": "a", "FAME_ADMISSION_TOKEN_FILE": "b"}, "token and token_file exclude each other"),
    ],
)
@pytest.mark.usefixtures("write")
def test_a_variable_that_can_t_count_is_named(env: dict[str, str], what: str) -> None:
    with pytest.raises(FameError) as caught:
        said({"FAME_SECURITY_PROFILE": "gated"} | env)
    assert what in str(caught.value)


@pytest.mark.usefixtures("write")
def test_half_an_issuer_is_nobody_s_concern_in_the_open_profile() -> None:
    assert said({"FAME_JWT_TRUSTED_ISSUER": "https://i", "FAME_JWKS_URL": "https://i/k"}).security.issuers == []


@pytest.mark.usefixtures("write")
def test_the_level_of_the_original_s_variable_is_ours_by_another_name() -> None:
    levels = ("plaintext", "SEALED", "")
    found = [said({"FAME_DEFAULT_ENCRYPTION_LEVEL": level}).security.encryption for level in levels]
    assert found == ["plain", "sealed", "sealed"]


@pytest.mark.usefixtures("write")
@pytest.mark.parametrize(
    ("env", "name"),
    [
        ({"FAME_ADMISSION_TOKEN": "abc"}, "token"),
        ({"FAME_ADMISSION_TOKEN_FILE": "t.jwt"}, "token_file"),
        (SERVER, "token_url"),
    ],
)
@pytest.mark.parametrize(
    "inner", ["token: x", "token_file: x", "token_url: https://x/t, client_id: x, client_secret: x, audience: kept"]
)
def test_the_token_of_a_variable_takes_the_place_of_the_file_s(env: dict[str, str], name: str, inner: str) -> None:
    admission = said(env, f"{SENTINEL}admission: {{{inner}}}\n").admission
    assert admission.sources == [name]
    assert (admission.client_id, admission.client_secret) == (
        ("me", "hunter2") if name == "token_url" else (None, None)
    )
    assert admission.audience == ("kept" if "kept" in inner else None)


@pytest.mark.usefixtures("write")
def test_a_token_server_that_a_variable_names_may_be_asked_with_what_the_file_says() -> None:
    text = SENTINEL + "admission: {token_url: https://x/t, client_id: c, client_secret: s}\n"
    admission = said({"FAME_ADMISSION_TOKEN_URL": "https://idp/token"}, text).admission
    assert (admission.token_url, admission.client_id) == ("https://idp/token", "c")


@pytest.mark.usefixtures("write")
def test_who_asks_a_token_server_counts_only_where_there_is_one() -> None:
    env = {"FAME_ADMISSION_CLIENT_ID": "me", "FAME_ADMISSION_CLIENT_SECRET": "hunter2", "FAME_JWT_AUDIENCE": "acme"}
    assert said(env).admission == AdmissionConfig()
    text = SENTINEL + "admission: {token_url: https://x/t}\n"
    admission = said(env, text).admission
    assert (admission.client_id, admission.audience) == ("me", "acme")


@pytest.mark.usefixtures("write")
@pytest.mark.parametrize("profile", ["open", "Direct", "none", "noop"])
def test_the_admission_profile_of_the_variable_goes_before_the_file_s(profile: str) -> None:
    text = f"{SENTINEL}upstream: {{direct_url: 'ws://127.0.0.1:1{DOWN}'}}\nadmission: {{profile: direct, token: x}}\n"
    config = said({"FAME_ADMISSION_PROFILE": profile}, text)
    expected = {"noop": "none"}.get(profile, profile.lower())
    assert (config.admission.profile, config.upstream is None) == (expected, expected == "none")


# --- what is shown ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("write")
@pytest.mark.parametrize("name", ["FAME_ADMISSION_TOKEN", "FAME_ADMISSION_CLIENT_SECRET"])
def test_a_secret_of_a_variable_is_not_shown(name: str) -> None:
    env = (SERVER if "SECRET" in name else {}) | {name: "hunter2"}
    Path("a.yaml").write_text(SENTINEL, encoding="utf-8")
    config, tree = load_any(Path("a.yaml"), env=env)
    assert "hunter2" not in resolved_yaml(config, tree)
    assert "***" in resolved_yaml(config, tree)


def test_the_secrets_of_a_file_are_not_shown_and_where_they_are_is(write: Write) -> None:
    admission = "{token_url: https://idp/token, client_id: me, client_secret: hunter2}"
    peers = f"[{{direct_url: 'wss://h{PEER}', admission: {{token: hunter2}}}}]"
    config, tree = load_any(write(f"{SENTINEL}admission: {admission}\npeers: {peers}\n"), env={})
    shown = resolved_yaml(config, tree)
    assert "hunter2" not in shown
    assert yaml.safe_load(shown)["admission"]["token_url"] == "https://idp/token"
    assert "hunter2" not in repr(config.security_settings() if isinstance(config, SentinelConfig) else None)


@pytest.mark.parametrize(
    "section",
    [
        "admission: {token: hunter2 hunter2}",
        "admission: {client_secret: hunter2}",
        "admission: {token: hunter2, token_file: x}",
        "admission: {token: [hunter2]}",
        f"peers: [{{direct_url: 'wss://h{PEER}', admission: {{token: hunter2 hunter2}}}}]",
    ],
)
def test_a_secret_is_not_repeated_in_what_is_wrong_with_it(problems: Problems, section: str) -> None:
    assert "hunter2" not in " ".join(problems(f"{SENTINEL}{section}\n"))


def test_what_is_shown_of_all_this_loads_again_and_means_the_same(write: Write) -> None:
    first, tree = load_any(write(WHOLE), env={})
    second, _ = load_any(write(resolved_yaml(first, tree), "b.yaml"), env={})
    assert second.model_dump() == first.model_dump()


@pytest.mark.usefixtures("write")
@pytest.mark.parametrize("token", ["a" * 8158, "!#$%&'*+-.^_`|~09AZaz"], ids=["long", "odd"])
def test_a_token_that_a_handshake_can_carry_is_taken(token: str) -> None:
    assert said({"FAME_ADMISSION_TOKEN": token}).admission.token == token
    assert token in Shown(token).offer


@pytest.mark.usefixtures("write")
@pytest.mark.parametrize("token", ["a" * 8159, "a=", "a/b", "a,b", "ä"], ids=["longer", "=", "/", ",", "umlaut"])
def test_a_token_that_no_handshake_can_carry_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="isn't a token"):
        said({"FAME_ADMISSION_TOKEN": token})
    with pytest.raises(ConfigError, match="can't be sent"):
        _ = Shown(token).offer


# --- fabrics ---------------------------------------------------------------------------------------------------------


def test_a_token_that_is_exported_is_not_for_every_node_of_a_fabric(write: Write) -> None:
    write(SENTINEL + "id: a\n", "n.yaml")
    inner = "[{config: n.yaml}, {config: n.yaml, id: b, env: {FAME_ADMISSION_TOKEN: theirs}}, {kind: client, id: c}]"
    path = write(f"kind: fabric\nname: f\nnodes: {inner}\n")
    nodes = fabric_nodes(path, env={"FAME_ADMISSION_TOKEN": "mine", "FAME_ADMISSION_TOKEN_FILE": "f"})
    assert [node.config.admission.token for node in nodes] == [None, "theirs", None]


# --- limits ----------------------------------------------------------------------------------------------------------


def test_every_limit_gets_to_the_node(loaded: Loaded) -> None:
    names = list(Limits.__dataclass_fields__)
    text = ", ".join(f"{name}: {number}" for number, name in enumerate(names, 1))
    config = loaded(f"{SENTINEL}limits: {{{text}}}\n")
    assert isinstance(config, SentinelConfig)
    assert config.limits.per_link() == Limits(*range(1, len(names) + 1))


def test_the_limits_of_a_file_that_says_none_are_the_node_s_own(loaded: Loaded) -> None:
    config = loaded(SENTINEL)
    assert isinstance(config, SentinelConfig)
    assert config.limits.per_link() == Limits()
