"""What `fame doctor` says of set-ups that are broken, each in its own way, and of some that aren't."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from doctor_rig import DOWNSTREAM, PEER_PATH, World, amiss, free_port, seen
from fame_runner import Fame

from fame_cli.cli.checkup.credentials import claims_of
from fame_cli.cli.checkup.findings import Finding, State, exit_code_of
from fame_cli.core.grant import CLIENT
from fame_cli.node.client import Client
from fame_cli.security.files import PRIVATE, PUBLIC, write_file
from fame_cli.security.issuing import CertificateAuthority, private_pem
from fame_cli.security.keystore import Home
from fame_cli.security.settings import Admission, SecuritySettings, Tls
from fame_cli.store.database import Database

Break = Callable[[World], Awaitable[None]]
BROKEN: list[tuple[Break, str, State, int, str]] = []
BOUND_S = 20.0


def broken(check: str, state: str, code: int, text: str) -> Callable[[Break], Break]:
    """Say how the set-up a function makes is to be told from the others: by whom, how bad, and in which words."""

    def keep(break_it: Break) -> Break:
        BROKEN.append((break_it, check, State(state), code, text))
        return break_it

    return keep


# Configs


@broken("config", "fail", 3, 'unknown key "lisen"')
async def unknown_key(world: World) -> None:
    world.write("kind: sentinel\nlisen: 127.0.0.1:8000\n")


@broken("config", "fail", 3, "no such file here or in configs/")
async def no_file(world: World) -> None:
    world.file = "nowhere.yaml"


@broken("config", "fail", 3, "admission.token_file:")
async def named_file_missing(world: World) -> None:
    world.client("ws://127.0.0.1:1" + DOWNSTREAM, "admission: {token_file: there.jwt}\n")


@broken("config", "fail", 3, "policy.yaml:1:8: type:")
async def broken_policy(world: World) -> None:
    world.write("{type: 3, rules: []}\n", "policy.yaml")
    world.write("kind: sentinel\nlisten: 127.0.0.1:0\nsecurity: {profile: open, policy: policy.yaml}\n")


@broken("config", "fail", 3, "FAME_TRANSPORT: ")
async def wrong_variable(world: World) -> None:
    world.env["FAME_TRANSPORT"] = "pigeon"


@broken("config", "fail", 2, "--url: ")
async def wrong_url(world: World) -> None:
    world.url = "ws://127.0.0.1:1/nothing/to/attach/to"


@broken("config", "fail", 2, '--url: "ws://127.0.0.1:1/fame/v1/attach/ws/peer" attaches as peer, not as downstream')
async def wrong_url_beside_a_file(world: World) -> None:
    world.write("kind: sentinel\nlisten: 127.0.0.1:0\n")
    world.url = "ws://127.0.0.1:1" + PEER_PATH


@broken("config", "fail", 6, "the check didn't end within 1 s")
async def file_is_a_pipe(world: World) -> None:
    world.file, world.timeout_s = str(world.pipe("node.yaml")), 1.0


# This machine


@broken("versions", "fail", 1, "msgspec isn't installed")
async def package_missing(world: World) -> None:
    world.write("kind: sentinel\nlisten: 127.0.0.1:0\n")
    world.changed(installed={name: each for name, each in world.machine.installed.items() if name != "msgspec"})


@broken("versions", "warn", 0, "websockets 18.1 isn't one that fame is tested with")
async def package_untested(world: World) -> None:
    world.write("kind: sentinel\nlisten: 127.0.0.1:0\n")
    world.changed(installed={**world.machine.installed, "websockets": "18.1"})


@broken("versions", "fail", 1, "Python 3.10.4 is too old")
async def python_too_old(world: World) -> None:
    world.write("kind: sentinel\nlisten: 127.0.0.1:0\n")
    world.changed(python=(3, 10, 4))


@broken("versions", "fail", 3, "operation w: HTTP calls need httpx")
async def extra_missing(world: World) -> None:
    sentinel = await world.sentinel()
    operations = "operations: {w: {http: {url: 'http://127.0.0.1:1/'}}}"
    world.write(
        f"kind: agent\nupstream: {{direct_url: '{sentinel.url}'}}\nagent: {{address: w@fame.fabric, {operations}}}\n"
    )
    world.changed(installed={name: each for name, each in world.machine.installed.items() if name != "httpx"})


@broken("clock", "fail", 1, "the clock of this machine says 1970-01-01")
async def clock_not_set(world: World) -> None:
    world.write("kind: sentinel\nlisten: 127.0.0.1:0\n")
    world.changed(now=lambda: 100.0)


@broken("clock", "warn", 0, "was written at")
async def clock_put_back(world: World) -> None:
    world.write("kind: sentinel\nlisten: 127.0.0.1:0\n")
    world.changed(now=lambda: time.time() - 7200)


@broken("limits", "warn", 0, "136 links at most, not 500")
async def too_few_files(world: World) -> None:
    world.write("kind: sentinel\nlisten: 127.0.0.1:0\nlimits: {max_links: 500}\n")
    world.changed(open_files=200)


@broken("limits", "fail", 3, "no room for a single link")
async def no_files(world: World) -> None:
    world.write("kind: sentinel\nlisten: 127.0.0.1:0\n")
    world.changed(open_files=64)


@broken("limits", "warn", 0, "neighbours can make it hold 4291 MiB, and 1024 MiB are free")
async def too_little_memory(world: World) -> None:
    world.write("kind: sentinel\nlisten: 127.0.0.1:0\nlimits: {max_held_bytes: 4294967296}\n")
    world.changed(memory_bytes=1 << 30)


@broken("storage", "fail", 3, "isn't a folder")
async def folder_is_a_file(world: World) -> None:
    world.write("", "logs")
    world.write("kind: sentinel\nlisten: 127.0.0.1:0\nsecurity: {audit: logs/audit.jsonl}\n")


@broken("storage", "warn", 0, "is nearly full: 3 MiB are free")
async def disk_nearly_full(world: World) -> None:
    world.write("kind: sentinel\nlisten: 127.0.0.1:0\nsecurity: {audit: logs/audit.jsonl}\n")
    world.changed(free_bytes=lambda folder: 3 << 20)


def _keeping(world: World, more: str = "") -> Path:
    """Describe a sentinel that keeps messages in a file, and return where that is."""
    world.write(f"kind: sentinel\nlisten: 127.0.0.1:0\nstorage: {{path: kept/messages.db}}\n{more}")
    folder = world.folder / "kept"
    folder.mkdir(mode=0o700)
    return folder / "messages.db"


@broken("storage", "warn", 0, "are kept in memory, and end with its process")
async def messages_in_memory(world: World) -> None:
    world.write("kind: sentinel\nlisten: 127.0.0.1:0\ndelivery: {profile: at-least-once}\n")


@broken("storage", "fail", 3, "messages.db: damaged: ")
async def damaged_store(world: World) -> None:
    path = _keeping(world)
    Database(path).close()
    path.write_bytes(path.read_bytes()[:1000] + b"x" * 20_000)


@broken("storage", "fail", 3, "a database of another program")
async def store_of_another_program(world: World) -> None:
    path = _keeping(world)
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE t (x)")
    path.chmod(0o600)


@broken("storage", "fail", 3, "made by a later fame (version 99 of ")
async def store_of_a_later_version(world: World) -> None:
    path = _keeping(world)
    Database(path).close()
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("PRAGMA user_version = 99")


@broken("storage", "fail", 3, "messages.db: others can read this file")
async def store_for_everybody(world: World) -> None:
    path = _keeping(world)
    Database(path).close()
    path.chmod(0o644)


@broken("storage", "warn", 0, "messages.db is in use by ")
async def store_in_use(world: World) -> None:
    held = Database(_keeping(world))
    world.stack.callback(held.close)


@broken("storage", "fail", 3, "sqlite needs a path where the node's id is random")
async def store_without_a_name(world: World) -> None:
    world.write("kind: sentinel\nlisten: 127.0.0.1:0\nstorage: {profile: sqlite}\n")


@broken("limits", "warn", 0, "neighbours can make it hold 1075 MiB, and 1024 MiB are free")
async def too_little_memory_for_mailboxes(world: World) -> None:
    boxes = "mailboxes: [{address: m@fame.fabric, max_bytes: 654311424}]"
    _keeping(world, boxes)
    world.changed(memory_bytes=1 << 30)


# Ports


@broken("ports", "fail", 3, "is taken by the sentinel s1, process ")
async def port_of_another_sentinel(world: World) -> None:
    sentinel = await world.sentinel()
    world.write(f"kind: sentinel\nid: s2\nlisten: {sentinel.address}\n")


@broken("ports", "warn", 0, "the sentinel s1 listens there; this one, or another")
async def port_of_perhaps_itself(world: World) -> None:
    sentinel = await world.sentinel()
    world.write(f"kind: sentinel\nlisten: {sentinel.address}\n")


@broken("ports", "fail", 3, "by something else that speaks HTTP (nginx)")
async def port_of_a_web_server(world: World) -> None:
    world.write(f"kind: sentinel\nlisten: {await world.web()}\n")


@broken("ports", "fail", 3, "by something that is no sentinel")
async def port_of_something(world: World) -> None:
    world.write(f"kind: sentinel\nlisten: {await world.mute()}\n")
    world.timeout_s = 1.0


@broken("ports", "fail", 3, "can't listen on 192.0.2.1:")
async def address_of_another_machine(world: World) -> None:
    world.home()
    world.write(f"kind: sentinel\nlisten: 192.0.2.1:{free_port()}\nsecurity: {{profile: gated, behind_proxy: true}}\n")


@broken("ports", "fail", 3, "s2 and s1 are both to listen on 127.0.0.1:")
async def one_port_for_two(world: World) -> None:
    listen = f"listen: '127.0.0.1:{free_port()}'"
    nodes = ", ".join(f"{{kind: sentinel, id: {name}, {listen}}}" for name in ("s1", "s2"))
    world.write(f"kind: fabric\nname: f\nnodes: [{nodes}]\n")


# Reaching others


@broken("reach", "fail", 7, "there is no host called nowhere.invalid")
async def no_such_host(world: World) -> None:
    world.url = "wss://nowhere.invalid:1" + DOWNSTREAM


@broken("reach", "fail", 7, "no sentinel listens on 127.0.0.1:")
async def nobody_listens(world: World) -> None:
    world.url = f"ws://127.0.0.1:{free_port()}{DOWNSTREAM}"


@broken("reach", "warn", 0, "s1 isn't up yet")
async def fabric_not_up(world: World) -> None:
    listen = f"127.0.0.1:{free_port()}"
    nodes = f"{{kind: sentinel, id: s1, listen: '{listen}'}}, {{kind: client, id: c1, upstream: {{direct_url: 'ws://{listen}{DOWNSTREAM}'}}}}"
    world.write(f"kind: fabric\nname: f\nnodes: [{nodes}]\n")


@broken("reach", "fail", 7, "takes connections, and doesn't answer within 0.6 s")
async def mute_server(world: World) -> None:
    world.url, world.timeout_s = f"ws://{await world.mute()}{DOWNSTREAM}", 1.0


@broken("reach", "fail", 7, "that is a web server (nginx), no sentinel")
async def web_server(world: World) -> None:
    world.url = f"ws://{await world.web()}{DOWNSTREAM}"


@broken("reach", "fail", 7, "doesn't speak WebSocket")
async def no_web_server(world: World) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()

    world.url = f"ws://{await world.server(answer)}{DOWNSTREAM}"


@broken("reach", "fail", 7, "the path is wrong: write ws://127.0.0.1:")
async def wrong_path(world: World) -> None:
    world.url = f"ws://{(await world.sentinel()).address}/behind{DOWNSTREAM}"


@broken("reach", "fail", 7, "takes no link now: 1 links are open")
async def full_sentinel(world: World) -> None:
    sentinel = await world.sentinel(max_links=1)
    await world.stack.enter_async_context(Client(sentinel.url))
    world.url = sentinel.url


@broken("reach", "fail", 7, "it speaks TLS: write wss://127.0.0.1:")
async def clear_where_tls_is_spoken(world: World) -> None:
    sentinel = await world.sentinel(SecuritySettings(tls=world.authority().issue("s1")))
    world.url = sentinel.url.replace("wss:", "ws:")


@broken("reach", "fail", 7, "doesn't speak TLS")
async def tls_where_clear_is_spoken(world: World) -> None:
    world.url, world.timeout_s = (await world.sentinel()).url.replace("ws:", "wss:"), 3.0


@broken("reach", "fail", 7, "is from an authority that isn't known here")
async def unknown_authority(world: World) -> None:
    sentinel = await world.sentinel(SecuritySettings(tls=world.authority("theirs").issue("s1")))
    ours = world.authority("ours")
    world.client(sentinel.url, f"security: {{tls: {{authorities: '{ours.file}'}}}}\n")


@broken("reach", "fail", 4, "refused the link: authentication failed: no token")
async def no_token(world: World) -> None:
    world.url = (await world.sentinel(SecuritySettings("gated", world.home().root))).url


@broken("reach", "fail", 4, "authentication failed: no token")
async def no_token_for_a_peer(world: World) -> None:
    peer = await world.sentinel(SecuritySettings("gated", world.home().root))
    world.env.clear()
    world.write(f"kind: sentinel\nlisten: 127.0.0.1:0\npeers: [{{direct_url: '{peer.peer_url}'}}]\n")


@broken("reach", "fail", 4, "not today")
async def refused_by_an_answer(world: World) -> None:
    world.url = f"ws://{await world.neighbour(None, ok=False, reason='not today')}{DOWNSTREAM}"


@broken("versions", "warn", 0, "runs another fame: without cancel, window")
async def older_neighbour(world: World) -> None:
    world.timeout_s = 2.0
    world.url = f"ws://{await world.neighbour({'fame.ext': ['mesh', 'sys']})}{DOWNSTREAM}"


@broken("clock", "fail", 1, "2 minutes behind ours; 60 s are allowed")
async def clocks_apart(world: World) -> None:
    sentinel = await world.sentinel(SecuritySettings("gated", world.home().root))
    world.client(sentinel.url, "security: {profile: gated}\n")
    world.changed(now=lambda: time.time() + 120.4)


# Tokens


@broken("tokens", "fail", 4, "has expired")
async def token_expired(world: World) -> None:
    world.token(world.home(), time.time() - 7200)
    await _client_with_token(world)


@broken("clock", "fail", 1, "token.jwt isn't valid before")
async def token_of_tomorrow(world: World) -> None:
    world.token(world.home(), time.time() + 86_400)
    await _client_with_token(world)


@broken("tokens", "warn", 0, "token.jwt ends in 30 minutes")
async def token_ends_soon(world: World) -> None:
    world.token(world.home(), time.time() - 41_410, 43_200.0)
    await _client_with_token(world)


@broken("tokens", "fail", 4, "the token is for node other, and this one is c1")
async def token_of_another_node(world: World) -> None:
    world.token(world.home(), time.time(), named="other")
    await _client_with_token(world)


@broken("tokens", "fail", 4, "the token is for another key than this node's")
async def token_of_another_key(world: World) -> None:
    world.token(world.home(), time.time(), thumbprint="A" * 43)
    await _client_with_token(world)


@broken("tokens", "fail", 4, "the token isn't good by the keys in")
async def token_taken_back(world: World) -> None:
    home = world.home()
    world.token(home, time.time(), token_id="")
    claims = claims_of((world.folder / "token.jwt").read_text())
    assert claims is not None
    home.revoke(claims["jti"])
    await _client_with_token(world)


@broken("tokens", "fail", 4, "the token doesn't allow to be a peer")
async def token_without_the_role(world: World) -> None:
    peer = await world.sentinel()
    world.token(world.home(), time.time(), named="s2", roles=frozenset({CLIENT}))
    world.write(
        f"kind: sentinel\nid: s2\nlisten: 127.0.0.1:0\nadmission: {{token_file: token.jwt}}\n"
        f"peers: [{{direct_url: '{peer.peer_url}'}}]\n"
    )


@broken("tokens", "fail", 4, "the token doesn't allow to bind math@other.fabric")
async def token_without_the_address(world: World) -> None:
    sentinel = await world.sentinel()
    world.token(world.home(), time.time(), named="math")
    operations = "operations: {add: {template: '3'}}"
    world.write(
        f"kind: agent\nid: math\nupstream: {{direct_url: '{sentinel.url}'}}\nadmission: {{token_file: token.jwt}}\n"
        f"agent: {{address: math@other.fabric, {operations}}}\n"
    )


@broken("tokens", "fail", 7, "token server http://127.0.0.1:")
async def token_server_away(world: World) -> None:
    server = f"http://127.0.0.1:{free_port()}/t"
    admission = f"{{token_url: '{server}', client_id: c, client_secret: hushhush}}"
    world.client((await world.sentinel()).url, f"admission: {admission}\n")


async def _client_with_token(world: World) -> None:
    """Describe a client that shows the token in the folder at a sentinel that believes it."""
    home = Home(world.folder / "home")
    sentinel = await world.sentinel(SecuritySettings("gated", home.root))
    world.client(sentinel.url, "id: c1\nsecurity: {profile: gated}\nadmission: {token_file: token.jwt}\n")


# Certificates


def _listening(world: World, tls: Tls, node: str = "s1", listen: str = "127.0.0.1:0") -> None:
    files = f"certificate: '{tls.certificate}', key: '{tls.key}', authorities: '{tls.authorities}'"
    world.write(f"kind: sentinel\nid: {node}\nlisten: {listen}\nsecurity: {{tls: {{{files}}}}}\n")


@broken("certificates", "fail", 3, "s1.pem: the certificate has expired")
async def certificate_expired(world: World) -> None:
    _listening(world, world.authority().issue("s1", begins=timedelta(days=-3), ends=timedelta(days=-1)))


@broken("certificates", "warn", 0, "s1.pem ends in 2 hours")
async def certificate_ends_soon(world: World) -> None:
    _listening(world, world.authority().issue("s1", begins=timedelta(days=-1), ends=timedelta(hours=2, seconds=30)))


@broken("clock", "fail", 1, "s1.pem isn't valid before")
async def certificate_of_tomorrow(world: World) -> None:
    _listening(world, world.authority().issue("s1", begins=timedelta(days=1), ends=timedelta(days=2)))


@broken("certificates", "fail", 3, "the key isn't that of")
async def key_of_another_certificate(world: World) -> None:
    authority = world.authority()
    _listening(world, replace(authority.issue("s1"), key=authority.issue("s2").key))


@broken("certificates", "fail", 3, "everybody can use this key")
async def key_for_everybody(world: World) -> None:
    tls = world.authority().issue("s1")
    assert tls.key is not None
    tls.key.chmod(0o644)
    _listening(world, tls)


@broken("certificates", "fail", 3, "is of node s2, and this one is s1")
async def certificate_of_another_node(world: World) -> None:
    _listening(world, _issued(world, "s2"))


@broken("certificates", "warn", 0, "isn't for 127.0.0.1, where it is shown")
async def certificate_for_another_host(world: World) -> None:
    _listening(world, world.authority().issue("s1", hosts=("s1.example",)))


def _issued(world: World, node: str) -> Tls:
    """Issue a certificate as `fame ca issue` does, into the folder."""
    home = world.home()
    authority = CertificateAuthority.create("test", time.time())
    keys = home.node_keys(node)
    chain = authority.issue(node, f"/{node}", keys.signing.public_key(), time.time(), 30 * 86_400.0)
    tls = Tls(*(world.folder / name for name in ("node.pem", "node.key", "ca.pem")))
    for path, content, mode in (
        (tls.certificate, chain.encode(), PUBLIC),
        (tls.key, private_pem(keys.signing), PRIVATE),
        (tls.authorities, authority.certificate_pem.encode(), PUBLIC),
    ):
        assert path is not None
        write_file(path, content, mode)
    return tls


# Profiles


@broken("security", "fail", 3, "profile gated: nobody's credentials are believed")
async def no_authority(world: World) -> None:
    world.home(authority=False)
    world.write("kind: sentinel\nlisten: 127.0.0.1:0\nsecurity: {profile: gated}\n")


@broken("security", "fail", 3, "profile strict-overlay: nobody's certificates are believed")
async def no_authority_of_certificates(world: World) -> None:
    world.home()
    world.write("kind: sentinel\nid: s1\nlisten: 127.0.0.1:0\nsecurity: {profile: strict-overlay}\n")


@broken("security", "fail", 3, "authority.json: others can read this file")
async def authority_for_everybody(world: World) -> None:
    (world.home().root / "authority.json").chmod(0o644)
    world.write("kind: sentinel\nlisten: 127.0.0.1:0\nsecurity: {profile: gated}\n")


@broken("security", "fail", 3, "s1.json: others can read this file")
async def keys_for_everybody(world: World) -> None:
    home = world.home()
    home.node_keys("s1")
    (home.root / "keys" / "s1.json").chmod(0o640)
    world.write("kind: sentinel\nid: s1\nlisten: 127.0.0.1:0\nsecurity: {profile: overlay}\n")


@broken("security", "warn", 0, "others may write in")
async def home_for_everybody(world: World) -> None:
    world.home().root.chmod(0o777)
    world.write("kind: sentinel\nlisten: 127.0.0.1:0\nsecurity: {profile: gated}\n")


@broken("security", "warn", 0, "may do everything: the profile is open")
async def open_to_everybody(world: World) -> None:
    world.write("kind: sentinel\nlisten: 0.0.0.0:0\nsecurity: {allow_open_public: true}\n")


@broken("security", "warn", 0, "and it may hold a token or a secret")
async def secret_for_everybody(world: World) -> None:
    home = world.home()
    token = world.token(home, time.time())
    sentinel = await world.sentinel(SecuritySettings("gated", home.root))
    world.client(sentinel.url, f"id: c1\nsecurity: {{profile: gated}}\nadmission: {{token: {token}}}\n")
    (world.folder / "node.yaml").chmod(0o644)


@pytest.mark.parametrize(
    ("break_it", "check", "state", "code", "text"), [pytest.param(*row, id=row[0].__name__) for row in BROKEN]
)
def test_each_broken_set_up_is_told_from_the_others(
    break_it: Break, check: str, state: State, code: int, text: str, tmp_path: Path
) -> None:
    async def examined() -> list[Finding]:
        async with asyncio.timeout(BOUND_S), seen(tmp_path) as world:
            await break_it(world)
            return await world.examined()

    found = asyncio.run(examined())
    first, *others = amiss(found)
    shown = [(str(each.state), each.check, each.what, each.do) for each in found]
    told = f"{first.what}; {first.do}"
    assert (first.check, first.state, exit_code_of(found)) == (check, state, code), shown
    assert text in told, shown
    assert first.do
    assert all(line not in ("hushhush", "eyJ") for each in found for line in (each.what, each.do))
    assert not [each for each in others if each.state is State.fail and state is State.warn]


def test_there_are_enough_broken_set_ups_and_none_is_like_another() -> None:
    assert len(BROKEN) >= 20
    assert len({(check, text) for _, check, _, _, text in BROKEN}) == len(BROKEN)


# What works


Make = Callable[[World], Awaitable[None]]


def examined(make: Make, folder: Path) -> tuple[list[Finding], World]:
    """Return what a doctor finds at a set-up, while everything in it runs."""

    async def whole() -> tuple[list[Finding], World]:
        async with asyncio.timeout(BOUND_S), seen(folder) as world:
            await make(world)
            return await world.examined(), world

    return asyncio.run(whole())


def texts(found: list[Finding], check: str) -> list[str]:
    """Return what one check says."""
    return [finding.what for finding in found if finding.check == check]


@pytest.mark.parametrize("profile", ["gated", "overlay", "strict-overlay"])
def test_a_secured_agent_that_is_well_set_up_has_nothing_amiss_and_nothing_is_changed(
    profile: str, tmp_path: Path
) -> None:
    def stamps() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    before: dict[Path, int] = {}

    async def make(world: World) -> None:
        home = world.home()
        if profile == "strict-overlay":
            authority = CertificateAuthority.create("test", time.time())
            write_file(home.root / "ca.pem", authority.certificate_pem.encode(), PUBLIC)
            write_file(home.root / "ca.key", authority.key_pem, PRIVATE)
        home.node_keys("s1")
        sentinel = await world.sentinel(SecuritySettings(profile, home.root))
        world.write(
            f"kind: agent\nid: math\nupstream: {{direct_url: '{sentinel.url}'}}\nsecurity: {{profile: {profile}}}\n"
            "agent: {address: math@fame.fabric, operations: {add: {template: '3'}}}\n"
        )
        before.update(stamps())

    found, _ = examined(make, tmp_path)
    assert not amiss(found), found
    assert "is the sentinel s1" in texts(found, "reach")[0]
    assert stamps() == before


def test_a_peer_is_dialled_and_asked_without_becoming_a_part_of_its_mesh(tmp_path: Path) -> None:
    sentinels = []

    async def make(world: World) -> None:
        sentinels.append(await world.sentinel())
        world.write(
            f"kind: sentinel\nid: s2\nlisten: 127.0.0.1:0\npeers: [{{direct_url: '{sentinels[0].peer_url}'}}]\n"
        )

    async def whole() -> list[Finding]:
        async with asyncio.timeout(BOUND_S), seen(tmp_path) as world:
            await make(world)
            found = await world.examined()
            async with Client(sentinels[0].url) as client:
                graph = await client.ask("fabric.graph")
            assert [each["node"] for each in graph["sentinels"]] == ["s1"]
            return found

    found = asyncio.run(whole())
    assert not amiss(found), found
    assert "is the sentinel s1, up 0s, 0 other links" in texts(found, "reach")[0]


def test_a_node_that_is_attached_already_stays_so_and_its_token_is_found_good(tmp_path: Path) -> None:
    async def whole() -> list[Finding]:
        async with asyncio.timeout(BOUND_S), seen(tmp_path) as world:
            home = world.home()
            keys = home.node_keys("c1")
            world.token(home, time.time(), thumbprint=keys.thumbprint)
            settings = SecuritySettings("gated", home.root)
            sentinel = await world.sentinel(settings)
            world.client(sentinel.url, "id: c1\nsecurity: {profile: gated}\nadmission: {token_file: token.jwt}\n")
            admission = Admission(token_file=tmp_path / "token.jwt")
            async with Client(sentinel.url, node_id="c1", security=replace(settings, admission=admission)) as client:
                found = await world.examined()
                links = await client.ask("fabric.links")
                assert [each["node"] for each in links] == ["c1"]
            return found

    found = asyncio.run(whole())
    assert not amiss(found), found
    assert texts(found, "tokens") == ["there is a token for c1"]


def test_a_token_for_an_id_without_keys_is_tried_without_making_any(tmp_path: Path) -> None:
    async def make(world: World) -> None:
        world.token(world.home(), time.time())
        await _client_with_token(world)

    found, _ = examined(make, tmp_path)
    assert not amiss(found), found
    assert "takes the token; to ask it more needs the node's own keys" in texts(found, "reach")[0]
    assert not (tmp_path / "home" / "keys" / "c1.json").exists()


@pytest.mark.parametrize(
    ("make", "state", "text"),
    [
        (token_expired, "warn", "not dialled, because the token in "),
        (token_of_another_key, "warn", "not dialled, because the token is for another key than this node's"),
        (token_of_another_node, "warn", "dialled, and not attached to, because the token is for node other"),
        (token_without_the_role, "warn", "dialled, and not attached to, because the token doesn't allow to be a peer"),
        (token_without_the_address, "warn", "dialled, and not attached to, because the token doesn't allow to bind"),
        (token_of_tomorrow, "fail", "refused the link: authentication failed: not valid yet"),
        (token_taken_back, "fail", "refused the link: authentication failed: revoked"),
    ],
)
def test_a_token_that_is_not_good_never_stands_beside_a_neighbour_that_is_reached(
    make: Break, state: str, text: str, tmp_path: Path
) -> None:
    found, _ = examined(make, tmp_path)
    [reached] = [finding for finding in found if finding.check == "reach"]
    assert reached.state == state, reached
    assert text in reached.what
    assert reached.do


def test_a_plain_naylence_neighbour_is_told(tmp_path: Path) -> None:
    async def make(world: World) -> None:
        world.url = f"ws://{await world.neighbour(None)}{DOWNSTREAM}"

    found, _ = examined(make, tmp_path)
    assert not amiss(found), found
    assert "is a plain Naylence node" in texts(found, "versions")[1]
    assert "can't be asked how it is" in texts(found, "reach")[0]


def test_a_sentinel_that_runs_already_is_no_fault(tmp_path: Path) -> None:
    async def make(world: World) -> None:
        sentinel = await world.sentinel()
        world.write(f"kind: sentinel\nid: s1\nlisten: {sentinel.address}\n")

    found, _ = examined(make, tmp_path)
    assert not amiss(found), found
    assert "this sentinel runs already" in texts(found, "ports")[0]


def test_a_certificate_and_an_authority_of_ones_own_are_good_on_both_sides(tmp_path: Path) -> None:
    async def make(world: World) -> None:
        tls = world.authority().issue("s1", ends=timedelta(days=30))
        peer = await world.sentinel(SecuritySettings(tls=tls))
        files = f"certificate: '{tls.certificate}', key: '{tls.key}', authorities: '{tls.authorities}'"
        world.write(
            f"kind: sentinel\nid: s2\nlisten: 127.0.0.1:{free_port()}\nsecurity: {{tls: {{{files}}}}}\n"
            f"peers: [{{direct_url: '{peer.peer_url}'}}]\n"
        )

    found, _ = examined(make, tmp_path)
    assert not amiss(found), found
    assert texts(found, "certificates")[0].endswith(": good")


def test_a_store_that_is_whole_and_free_is_left_as_it_is(tmp_path: Path) -> None:
    contents: list[bytes] = []

    async def make(world: World) -> None:
        path = _keeping(world)
        Database(path).close()
        contents.append(path.read_bytes())

    found, _ = examined(make, tmp_path)
    assert not amiss(found), found
    assert texts(found, "storage") == [f"{tmp_path / 'kept' / 'messages.db'} is whole"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()} == {"messages.db": contents[0]}


def test_each_node_of_a_fabric_is_called_by_its_name(tmp_path: Path) -> None:
    async def make(world: World) -> None:
        nodes = ", ".join(f"{{kind: sentinel, id: {name}, listen: '127.0.0.1:0'}}" for name in ("s1", "s2"))
        world.write(f"kind: fabric\nname: f\nnodes: [{nodes}]\n")

    found, _ = examined(make, tmp_path)
    assert texts(found, "ports") == [f"{name}: 127.0.0.1:0: any port that is free" for name in ("s1", "s2")]


def test_no_secret_of_a_config_is_shown_whatever_is_wrong_with_it(tmp_path: Path) -> None:
    secrets = ["hushhush", "eyJhbGciOiJFZERTQSJ9.e30.c2VjcmV0"]

    async def make(world: World) -> None:
        world.home()
        sentinel = await world.sentinel(SecuritySettings("gated", tmp_path / "home"))
        world.client(sentinel.url, f"id: c1\nsecurity: {{profile: gated}}\nadmission: {{token: {secrets[1]}}}\n")

    found, world = examined(make, tmp_path)
    assert exit_code_of(found) == 4
    world.write(f"kind: client\nadmission: {{client_secret: {secrets[0]}, tokn: {secrets[1]}}}\n")
    found += asyncio.run(world.examined())
    shown = json.dumps([finding.document() for finding in found])
    assert not [secret for secret in secrets if secret in shown]


# The command


def test_the_report_is_lines_for_people_and_a_list_for_programs(fame: Fame) -> None:
    Path("node.yaml").write_text("kind: sentinel\nlisten: 127.0.0.1:0\nlisen: 1\n")
    done = fame("doctor", "--config", "node.yaml")
    assert done.exit_code == 3
    first, second = done.stdout.splitlines()[:2]
    assert first == 'fail  config    node.yaml:3:1: unknown key "lisen"; did you mean "listen"'
    assert second.startswith("ok    versions  fame ")
    done = fame("doctor", "--config", "node.yaml", "-o", "json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)[0] == {
        "check": "config",
        "state": "fail",
        "what": 'node.yaml:3:1: unknown key "lisen"',
        "do": 'did you mean "listen"',
    }
    lines = fame("doctor", "--config", "node.yaml", "-o", "ndjson").stdout.splitlines()
    assert [json.loads(line)["check"] for line in lines] == ["config", "versions", "clock"]


def test_the_exit_code_is_0_where_there_is_nothing_but_warnings(fame: Fame) -> None:
    Path("node.yaml").write_text("kind: sentinel\nlisten: 0.0.0.0:0\nsecurity: {allow_open_public: true}\n")
    done = fame("doctor", "--config", "node.yaml")
    assert (done.exit_code, "\nwarn  security  " in done.stdout) == (0, True)


def test_all_that_is_wrong_with_a_config_is_listed(fame: Fame) -> None:
    Path("node.yaml").write_text("kind: sentinel\nlisen: 1\nworkers: none\n")
    told = [line for line in fame("doctor", "--config", "node.yaml").stdout.splitlines() if line.startswith("fail")]
    assert [line.split()[2] for line in told] == ["node.yaml:2:1:", "node.yaml:3:10:"]


def test_one_node_of_a_fabric_can_be_looked_at(fame: Fame) -> None:
    nodes = ", ".join(f"{{kind: sentinel, id: {name}, listen: '127.0.0.1:0'}}" for name in ("s1", "s2"))
    Path("f.yaml").write_text(f"kind: fabric\nname: f\nnodes: [{nodes}]\n")
    done = fame("doctor", "--config", "f.yaml", "--node", "s2")
    assert (done.exit_code, done.stdout.count("ports")) == (0, 1)
    done = fame("doctor", "--config", "f.yaml", "--node", "s3")
    assert (done.exit_code, "s3" in done.stdout) == (2, True)


def test_a_time_out_of_bounds_is_a_wrong_command_line(fame: Fame) -> None:
    done = fame("doctor", "--timeout", "0")
    assert (done.exit_code, done.stderr.startswith("fame: Invalid value for '--timeout'")) == (2, True)
