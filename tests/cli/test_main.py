"""The parser: which commands there are, and how every failure becomes one line on stderr and an exit code."""

from importlib import import_module

import pytest
import typer
from fame_runner import Fame
from stub_fabric import StubClient
from typer.testing import CliRunner

from fame_cli import errors
from fame_cli.cli.main import COMMANDS, FameGroup, app, load_command, report
from fame_cli.cli.options import Invocation
from fame_cli.version import VERSION


def test_version_prints_one_line(fame: Fame) -> None:
    result = fame("--version")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"fame {VERSION}\n", "")


def test_help_lists_every_command_with_its_summary(fame: Fame) -> None:
    text = fame("--help").stdout
    for name, entry in COMMANDS.items():
        assert f"{name} " in text
        assert entry.summary in text


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_has_a_help_of_its_own(fame: Fame, name: str) -> None:
    result = fame(name, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"Usage: fame {name} " in result.stdout


def test_fame_alone_shows_the_help_and_is_a_usage_error(fame: Fame) -> None:
    result = fame()
    assert result.exit_code == 2
    assert "Usage: fame" in result.stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_listed_command_can_be_loaded(name: str) -> None:
    module_name, _, attribute = COMMANDS[name].target.partition(":")
    assert attribute in vars(import_module(module_name))
    assert load_command(name).name == name


def test_a_mistyped_command_gets_the_nearest(fame: Fame) -> None:
    result = fame("agnt")
    assert (result.exit_code, result.stderr) == (
        2, "fame: No such command 'agnt'. Did you mean 'agent'? try: fame --help\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("bench", "x@y.z", "-n", "0"), "Invalid value for '-n' / '--calls': give at least 1; try: fame bench --help"),
        (
            ("bench", "x@y.z", "-n", "1.5"),
            "Invalid value for '-n' / '--calls': give a whole number; try: fame bench --help",
        ),
        (("bench", "x@y.z", "-d", "x"), "Invalid value for '-d' / '--duration': give a number; try: fame bench --help"),
        (
            ("bench", "x@y.z", "--clients", "20000"),
            "Invalid value for '--clients': give at most 10000; try: fame bench",
        ),
        (
            ("ping", "x@y.z", "-i", "-1"),
            "Invalid value for '-i' / '--interval': give at least 0; try: fame ping --help",
        ),
    ],
)
def test_a_wrong_value_is_told_in_our_words(fame: Fame, args: tuple[str, ...], said: str) -> None:
    assert fame(*args).stderr.startswith(f"fame: {said}")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["call"], "Missing argument 'WORDS'; try: fame call --help"),
        (["call", "--zzz", "x"], "No such option: --zzz; try: fame call --help"),
        (["call", "-o", "xml", "x"], "'xml' is not one of 'text', 'json', 'ndjson'; try: fame call --help"),
        (["call", "--timeout", "soon", "x"], "try: fame call --help"),
        (["call", "--timeout", "0", "x"], "--timeout 0 is not a time; give seconds above 0, e.g. --timeout 5"),
        (["agent"], "nothing to serve; give MODULE:CLASS, or a file: fame agent --config math1.yaml"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(fame: Fame, args: list[str], said: str) -> None:
    result = fame(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("fame: ")
    assert result.stderr.endswith(said + "\n")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (errors.FameError("boom"), 1),
        (errors.UsageError("boom"), 2),
        (errors.ConfigError("boom", source="a.yaml", line=3, column=7), 3),
        (errors.AdmissionRefused("boom"), 4),
        (errors.PolicyDenied("boom"), 4),
        (errors.NoRoute("boom"), 5),
        (errors.DeadlineExceeded("boom"), 6),
        (errors.ConnectError("boom"), 7),
        (errors.LinkLost("boom"), 7),
        (errors.StreamEnded("boom"), 8),
        (errors.RemoteError("boom"), 1),
        (errors.CallCancelled("boom"), 130),
        (errors.RemoteProtocolError("boom"), 1),
        (typer.Abort(), 130),
        (OSError(28, "No space left on device", "x.log"), 1),
        (ValueError("boom"), 1),
    ],
)
def test_each_failure_has_its_exit_code_and_one_line(
    failure: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(failure, Invocation()) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "Traceback" not in err


def test_a_config_error_shows_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    report(
        errors.ConfigError("unknown key", source="a.yaml", line=3, column=7, hint="did you mean peers"), Invocation()
    )
    assert capsys.readouterr().err == "fame: a.yaml:3:7: unknown key; did you mean peers\n"


def test_a_bug_says_how_to_see_more(capsys: pytest.CaptureFixture[str]) -> None:
    report(ZeroDivisionError("division by zero"), Invocation())
    assert "internal error: ZeroDivisionError: division by zero; add --debug" in capsys.readouterr().err


def test_a_group_of_errors_reports_the_first_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    group = ExceptionGroup("tasks", [ValueError("noise"), ExceptionGroup("inner", [errors.NoRoute("nobody there")])])
    assert report(group, Invocation()) == 5
    assert capsys.readouterr().err == "fame: nobody there\n"


def test_a_group_without_one_of_ours_reports_its_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(ExceptionGroup("tasks", [ValueError("noise")]), Invocation()) == 1
    assert "ValueError: noise" in capsys.readouterr().err


@pytest.mark.parametrize("args", [("--debug", "call", "add"), ("call", "add", "--debug")])
def test_debug_shows_the_traceback_and_keeps_the_exit_code(fame: Fame, args: tuple[str, ...]) -> None:
    fame.client.failure = errors.NoRoute("nobody there")
    result = fame(*args)
    assert result.exit_code == 5
    assert "Traceback (most recent call last)" in result.stderr
    assert "fame: nobody there" in result.stderr


def test_ctrl_c_exits_with_130(fame: Fame) -> None:
    class Interrupted(StubClient):
        async def describe(self, address: str) -> dict[str, object]:
            raise KeyboardInterrupt

    fame.client = Interrupted()
    result = fame("call", "add", "x=1")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "fame: using math2@fame.fabric for add\n")


def test_the_group_can_be_embedded_without_exiting() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, FameGroup)
    assert group.main(["--version"], standalone_mode=False) == 0


def test_the_app_exits_with_the_code_of_the_failure() -> None:
    assert CliRunner().invoke(app, ["nonsense"]).exit_code == 2
