"""`fame keys` and `fame token`: what they print, what they keep, and that nothing private is ever shown."""

import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from fame_runner import Fame
from typer.testing import Result

from fame_cli.cli.home import lifetime_s, moment
from fame_cli.errors import UsageError

TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+\n")
ISSUE_MATH1 = ("token", "issue", "--node", "math1", "--role", "agent", "--address", "math1@fame.fabric")


@pytest.fixture
def home(fame: Fame, tmp_path: Path) -> Path:
    """Give the home folder that `fame` uses, with an authority."""
    fame.env = {"FAME_HOME": str(tmp_path / "home")}
    assert fame("keys", "init").exit_code == 0
    return tmp_path / "home"


def issued(fame: Fame, *args: str) -> str:
    result = fame("token", "issue", *args)
    assert result.exit_code == 0, result.stderr
    assert TOKEN.fullmatch(result.stdout)
    return result.stdout.strip()


def shown(fame: Fame, token: str) -> dict[str, object]:
    result = fame("token", "show", "-", "-o", "json", stdin=token)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def claims(fame: Fame, token: str) -> dict[str, object]:
    found = shown(fame, token)["claims"]
    assert isinstance(found, dict)
    return found


def secrets_in(home: Path) -> list[str]:
    return [secret for file in home.rglob("*.json") for secret in re.findall(r'"d": "([^"]+)"', file.read_text())]


def failed(result: Result) -> tuple[int, str, str]:
    return result.exit_code, result.stdout, result.stderr


# keys


def test_init_says_in_one_line_what_it_made_and_what_comes_next(fame: Fame, tmp_path: Path) -> None:
    fame.env = {"XDG_CONFIG_HOME": str(tmp_path)}
    result = fame("keys", "init", "--fabric", "my.fabric")
    assert (result.exit_code, result.stdout) == (0, "")
    said = rf"fame: my\.fabric has an authority, key \w{{16}} in {tmp_path}/fame; next: "
    said += (
        "fame token issue --node NAME --role ROLE; for a node of another machine copy authority\\.pub\\.json there, "
        "start it once, and add the --thumbprint that it tells\n"
    )
    assert re.fullmatch(said, result.stderr)
    assert stat.S_IMODE((tmp_path / "fame" / "authority.json").stat().st_mode) == 0o600


def test_init_overwrites_nothing_unless_told(fame: Fame, home: Path) -> None:
    before = (home / "authority.json").read_text()
    code, _, said = failed(fame("keys", "init"))
    assert (code, "authority.json is there already" in said) == (2, True)
    assert (home / "authority.json").read_text() == before
    assert fame("keys", "init", "--force").exit_code == 0
    assert (home / "authority.json").read_text() != before


@pytest.mark.parametrize("name", ["", "a b", "-x", "é"])
def test_a_fabric_has_a_plain_name(name: str, fame: Fame, home: Path) -> None:
    assert failed(fame("keys", "init", "--force", f"--fabric={name}"))[0] == 2


def test_show_lists_public_keys_with_kid_age_and_thumbprint(fame: Fame, home: Path) -> None:
    issued(fame, "--node", "c1")
    lines = fame("keys", "show").stdout.splitlines()
    assert lines[0].split() == ["OF", "USE", "KID", "AGE", "UNTIL", "THUMBPRINT"]
    assert re.fullmatch(r"authority of fame\.fabric +sig +\w{16} +\ds +- +[\w-]{43}", lines[1])
    assert re.fullmatch(r"c1 +sig +\w{16} +\ds +- +[\w-]{43}", lines[2])
    assert re.fullmatch(r"c1 +enc +\w{16} +\ds +- +-", lines[3])
    assert fame("keys", "show", "--node", "c1").stdout.splitlines()[1].startswith("c1")


def test_show_as_json_has_the_public_keys_whole(fame: Fame, home: Path) -> None:
    token = issued(fame, "--node", "c1")
    authority, signing, encryption = json.loads(fame("keys", "show", "-o", "json").stdout)
    assert (authority["kind"], authority["private"], authority["until"]) == ("authority", True, None)
    assert signing["jwk"].keys() == {"kty", "crv", "x", "kid", "alg", "use"}
    assert claims(fame, token)["cnf"] == {"jkt": signing["thumbprint"]}
    assert (encryption["use"], encryption["thumbprint"]) == ("enc", None)


def test_where_there_are_no_keys_it_is_said_how_to_make_some(fame: Fame, tmp_path: Path) -> None:
    fame.env = {"FAME_HOME": str(tmp_path / "none")}
    result = fame("keys", "show")
    assert (result.exit_code, result.stderr) == (
        0,
        f"fame: no keys in {tmp_path}/none; make the fabric's: fame keys init\n",
    )
    assert failed(fame("keys", "show", "--node", "x"))[0] == 2


def test_a_rotated_authority_still_honours_what_it_issued(fame: Fame, home: Path) -> None:
    token = issued(fame, "--node", "c1")
    result = fame("keys", "rotate", "--authority")
    assert (result.exit_code, result.stdout) == (0, "")
    assert re.search(
        r"a new key, \w{16}; the old one counts until \d{4}-\d\d-\d\d .*; copy .*authority\.pub\.json", result.stderr
    )
    assert shown(fame, token)["verifies"] is True
    untils = [entry["until"] is None for entry in json.loads(fame("keys", "show", "-o", "json").stdout)]
    assert untils == [True, False, True, True]


def test_an_authority_rotated_in_a_hurry_honours_nothing_old(fame: Fame, home: Path) -> None:
    token = issued(fame, "--node", "c1")
    fame("keys", "rotate", "--authority", "--honour", "0s")
    assert (shown(fame, token)["verifies"], shown(fame, token)["why"]) == (False, "unknown key")


def test_a_rotated_node_needs_a_new_token_and_is_told_so(fame: Fame, home: Path) -> None:
    old = claims(fame, issued(fame, "--node", "c1"))["cnf"]
    result = fame("keys", "rotate", "--node", "c1")
    assert "tokens bound to the old key have to be issued anew: fame token issue --node c1" in result.stderr
    assert claims(fame, issued(fame, "--node", "c1"))["cnf"] != old
    lines = fame("keys", "show", "--node", "c1").stdout.splitlines()
    assert len(lines) == 5
    assert re.search(r"sig +\w{16} +- +\d{4}-", lines[3])


@pytest.mark.parametrize(
    "args", [(), ("--authority", "--node", "c1"), ("--node", "nobody"), ("--authority", "--honour", "x")]
)
def test_rotate_has_to_know_whose_key_and_for_how_long(args: tuple[str, ...], fame: Fame, home: Path) -> None:
    code, out, said = failed(fame("keys", "rotate", *args))
    assert (code, out) == (2, "")
    assert said.count("\n") == 1


# token issue


def test_a_token_stands_alone_on_stdout_and_its_facts_on_stderr(fame: Fame, home: Path) -> None:
    result = fame(*ISSUE_MATH1)
    assert TOKEN.fullmatch(result.stdout)
    said = (
        r"fame: math1 is agent of fame\.fabric until \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ; binds math1@fame\.fabric; "
        r"bound to key [\w-]{43}, which is in \S+/keys \(of a node elsewhere: --thumbprint\); id [\w-]{16}\n"
    )
    assert re.fullmatch(said, result.stderr)
    assert result.stdout.strip() not in result.stderr


def test_a_token_says_what_was_asked_for(fame: Fame, home: Path) -> None:
    token = issued(
        fame, "--node", "m", "--role", "agent", "--role", "client", "--address", "m@x.y", "--address", "*@x.y",
        "--capability", "math.*", "--ttl", "30m",
    )  # fmt: skip
    found = claims(fame, token)
    assert (found["sub"], found["aud"], found["exp"] - found["iat"]) == ("m", "fame.fabric", 1800)  # type: ignore[operator]
    assert found["fame"] == {
        "node": "m",
        "roles": ["agent", "client"],
        "addresses": ["m@x.y", "*@x.y"],
        "capabilities": ["math.*"],
    }


def test_what_is_usual_need_not_be_said(fame: Fame, home: Path) -> None:
    client = claims(fame, issued(fame, "--node", "c"))
    assert (client["fame"], client["scope"]) == ({"node": "c", "roles": ["client"]}, "node.connect")
    assert client["exp"] - client["iat"] == 12 * 3600  # type: ignore[operator]
    agent = claims(fame, issued(fame, *ISSUE_MATH1[2:]))["fame"]
    assert agent == {"node": "math1", "roles": ["agent"], "addresses": ["math1@fame.fabric"], "capabilities": ["**"]}
    peer = claims(fame, issued(fame, "--node", "s2", "--role", "peer"))
    assert (peer["fame"], peer["scope"]) == (
        {"node": "s2", "roles": ["peer"], "prefixes": ["**"]},
        "node.connect node.peer",
    )
    assert "announces" in fame("token", "issue", "--node", "s2", "--role", "peer").stderr


def test_a_token_goes_into_a_file_that_nobody_else_can_read(fame: Fame, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "math1.jwt"
    file.write_text("the one before")
    file.chmod(0o644)
    result = fame(*ISSUE_MATH1, "--out", str(file))
    assert (result.exit_code, result.stdout) == (0, "")
    assert TOKEN.fullmatch(file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert result.stderr.endswith(f"; written to {file}\n")
    assert claims(fame, file.read_text())["sub"] == "math1"


def test_a_token_that_cannot_be_written_is_told_with_its_place(fame: Fame, home: Path, tmp_path: Path) -> None:
    result = fame(*ISSUE_MATH1, "--out", str(tmp_path / "none" / "math1.jwt"))
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == f"fame: {tmp_path}/none/math1.jwt: can't be written: no such file or directory\n"


def test_a_token_may_be_bound_to_no_key_or_to_one_of_another_machine(fame: Fame, home: Path) -> None:
    assert "cnf" not in claims(fame, issued(fame, "--node", "c-*", "--no-bind"))
    jkt = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert claims(fame, issued(fame, "--node", "far", "--thumbprint", jkt))["cnf"] == {"jkt": jkt}
    assert not (home / "keys").exists()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--role", "boss"), "--role 'boss' is none; use agent, client, peer, admin"),
        (("--role", "agent"), "an agent needs an address to bind; add e.g. --address n@fame.fabric"),
        (("--address", "a@b.c"), "only an agent binds addresses and offers capabilities; add --role agent"),
        (("--prefix", "**"), "only a peer announces addresses; add --role peer"),
        (("--ttl", "long"), "--ttl 'long' is not a time; write a whole number and s, m, h or d, e.g. --ttl 12h\n"),
        (("--ttl", "2w"), "--ttl '2w' is not a time; write a whole number and s, m, h or d, e.g. --ttl 12h\n"),
        (("--ttl", "1.5h"), "--ttl '1.5h' is not a time; write a whole number and s, m, h or d, e.g. --ttl 12h\n"),
        (("--ttl", "31d"), "a token can't live for '31d'; write --ttl 1s to --ttl 30d\n"),
        (("--ttl", "0s"), "a token can't live for '0s'; write --ttl 1s to --ttl 30d\n"),
        (("--no-bind", "--thumbprint", "x"), "exclude each other"),
        (("--thumbprint", "x"), "--thumbprint is none"),
    ],
)
def test_a_token_that_makes_no_sense_is_not_issued(args: tuple[str, ...], told: str, fame: Fame, home: Path) -> None:
    code, out, said = failed(fame("token", "issue", "--node", "n", *args))
    assert (code, out) == (2, "")
    assert told in said


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("--node", "c-*"), 2),
        (("--node", ""), 2),
    ],
)
def test_a_token_out_of_bounds_is_not_issued(args: tuple[str, ...], code: int, fame: Fame, home: Path) -> None:
    assert failed(fame("token", "issue", *args))[:2] == (code, "")


def test_a_pattern_that_is_none_is_not_issued(fame: Fame, home: Path) -> None:
    result = fame("token", "issue", "--node", "n", "--role", "agent", "--address", "^a.*")
    assert (result.exit_code, result.stdout) == (3, "")


def test_without_an_authority_the_error_says_how_to_make_one(fame: Fame, tmp_path: Path) -> None:
    fame.env = {"FAME_HOME": str(tmp_path / "none")}
    code, out, said = failed(fame(*ISSUE_MATH1))
    assert (code, out, said) == (2, "", f"fame: no authority in {tmp_path}/none; make one: fame keys init\n")


# token show, token revoke


def test_show_says_what_is_in_a_token_and_whether_it_is_good_here(fame: Fame, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "math1.jwt"
    file.write_text(fame(*ISSUE_MATH1).stdout)
    result = fame("token", "show", str(file))
    assert result.exit_code == 0
    assert re.search(r"^sub +math1$", result.stdout, re.MULTILINE)
    assert re.search(r"^exp +\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$", result.stdout, re.MULTILINE)
    assert re.search(r"^fame\.addresses +math1@fame\.fabric$", result.stdout, re.MULTILINE)
    assert result.stdout.endswith("\nverifies here: yes\n")


def test_show_never_shows_the_signature(fame: Fame, home: Path) -> None:
    token = issued(fame, "--node", "c1")
    for form in ("text", "json", "ndjson"):
        assert token.rpartition(".")[2] not in fame("token", "show", "-", "-o", form, stdin=token).output


def test_show_makes_what_a_stranger_wrote_harmless(fame: Fame, home: Path) -> None:
    header, body = "eyJhbGciOiJFZERTQSJ9", "eyJzdWIiOiJcdTAwMWJbMzFtIiwiZXhwIjoxZTk5LCJuYmYiOnRydWV9"
    result = fame("token", "show", "-", stdin=f"{header}.{body}.AAAA")
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "1e+99" in result.stdout
    assert "verifies here: no, no issuer" in result.stdout


def test_a_token_of_another_fabric_does_not_verify_here(fame: Fame, home: Path, tmp_path: Path) -> None:
    token = issued(fame, "--node", "c1")
    fame.env = {"FAME_HOME": str(tmp_path / "other")}
    assert (shown(fame, token)["verifies"], shown(fame, token)["why"]) == (False, "unknown issuer")


@pytest.mark.parametrize("command", ["show", "revoke"])
def test_what_is_no_token_is_an_error_with_its_place(command: str, fame: Fame, home: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xffnot a token")
    assert failed(fame("token", command, "x")) == (3, "", "fame: x: not a token: malformed\n")
    assert failed(fame("token", command, "-", stdin="")) == (3, "", "fame: stdin: not a token: malformed\n")


def test_show_of_a_file_that_is_not_there_is_an_error(fame: Fame, home: Path) -> None:
    assert failed(fame("token", "show", "none")) == (3, "", "fame: none: can't be read: no such file or directory\n")


def test_a_token_is_taken_back_by_its_file_or_its_id(fame: Fame, home: Path, tmp_path: Path) -> None:
    tokens = [issued(fame, "--node", "c1") for _ in range(3)]
    (tmp_path / "c1.jwt").write_text(tokens[0])
    assert fame("token", "revoke", "c1.jwt").exit_code == 0
    token_id = str(claims(fame, tokens[1])["jti"])
    result = fame("token", "revoke", token_id)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"fame: {token_id} is taken back, in {home / 'revoked.json'}\n"
    assert [shown(fame, token)["why"] for token in tokens] == ["revoked", "revoked", None]


def test_a_token_without_an_id_cannot_be_taken_back(fame: Fame, home: Path) -> None:
    result = fame("token", "revoke", "-", stdin="eyJhbGciOiJFZERTQSJ9.e30.AAAA")
    assert (result.exit_code, "has no id to take it back by" in result.stderr) == (2, True)


# All of them


def test_nothing_private_is_ever_printed(fame: Fame, home: Path) -> None:
    runs = [
        fame(*args)
        for args in (
            ISSUE_MATH1,
            ("keys", "show"),
            ("keys", "show", "-o", "json"),
            ("keys", "rotate", "--node", "math1"),
            ("keys", "show", "--node", "math1", "-o", "ndjson"),
            ("keys", "init", "--debug"),
            ("keys", "rotate", "--authority"),
        )
    ]
    secrets = secrets_in(home)
    assert len(secrets) == 3
    for secret in secrets:
        assert not [run for run in runs if secret in run.output]


def test_a_broken_key_file_is_told_without_its_content_even_with_a_traceback(fame: Fame, home: Path) -> None:
    file = home / "authority.json"
    secret = secrets_in(home)[0]
    file.write_text(file.read_text().replace(secret, secret[:-3]))
    result = fame("token", "issue", "--node", "n", "--debug")
    assert result.exit_code == 3
    assert f"{file}: not the key of an authority; make a new one: fame keys init --force" in result.stderr
    assert secret[:-3] not in result.output


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("12h", 43200), ("7d", 604800)])
def test_times_are_written_as_people_write_them(text: str, seconds: float) -> None:
    assert lifetime_s(text, "--ttl") == seconds


@pytest.mark.parametrize("text", ["", "h", "-1h", "1.5h", "1w", "1h30m", "9999999999"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--ttl .* is not a time"):
        lifetime_s(text, "--ttl")


def test_a_time_beyond_all_calendars_is_shown_as_a_number() -> None:
    assert [moment(0), moment(1e30)] == ["1970-01-01 00:00:00Z", "1e+30"]


def test_what_other_commands_do_imports_no_cryptography() -> None:
    code = "import sys; import fame_cli.cli.main, fame_cli.cli.keys, fame_cli.cli.token; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"cryptography", "joserfc", "httpx"} & set(loaded)
