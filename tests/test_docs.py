"""What the documents say is so: exit codes, variables, commands, YAML, events, codes, links and names are held against
the code, and the README's first commands give the results it shows.
"""

import ast
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, get_args

import pytest
import yaml
from pydantic import BaseModel

from fame_cli import errors
from fame_cli.cli.main import COMMANDS, load_command
from fame_cli.cli.options import Invocation
from fame_cli.config.load import find, load_any
from fame_cli.config.overlay import NODE_VARIABLES
from fame_cli.config.schema import AgentConfig, ClientConfig, SentinelConfig
from fame_cli.security.audit import AUDITED
from fame_cli.security.facts import PATHS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fame_cli"
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = ROOT / "docs" / "architecture.md"
DOCUMENTS = sorted(
    path
    for folder in (ROOT, ROOT / "docs", ROOT / "docs/adr", ROOT / "benchmarks", *(ROOT / "examples").iterdir())
    for path in folder.glob("*.md")
)
ADRS = sorted((ROOT / "docs" / "adr").glob("*.md"))
MAX_ARCHITECTURE_LINES = 130


def section(title: str) -> str:
    """Return what stands under a heading of the README."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {title!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """Return the cells of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def blocks(text: str, *languages: str) -> list[str]:
    """Return the code blocks in those languages, "" for a block that names none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [code for language, code in found if language in languages]


def spans(text: str) -> list[str]:
    """Return what stands in backticks within the prose."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


@cache
def source(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def strings(node: ast.AST) -> list[str]:
    """Return the texts written somewhere in a piece of code."""
    return [each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def tree(root: type[errors.FameError]) -> Iterator[type[errors.FameError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


# Exit codes


def test_the_readme_lists_each_error_under_its_exit_code() -> None:
    listed = {
        name: int(code) for code, _, names in rows(section("Exit codes")) for name in re.findall(r"`(\w+)`", names)
    }
    public = {kind.__name__: kind.exit_code for kind in tree(errors.FameError) if kind.__name__ in errors.__all__}
    assert listed == public


def test_no_error_has_an_exit_code_the_readme_does_not_explain() -> None:
    codes = [int(row[0]) for row in rows(section("Exit codes"))]
    assert codes == sorted(set(codes))
    assert {kind.exit_code for kind in tree(errors.FameError)} | {0} == set(codes)


def test_the_tree_drawn_in_errors_shows_each_error_with_its_exit_code() -> None:
    drawn = dict.fromkeys(re.findall(r"[─ ] ?(\w+Error|[A-Z]\w+)\s", errors.__doc__ or ""), "")
    missing = [name for name in errors.__all__ if name[0].isupper() and name not in drawn and name != "FameError"]
    assert not missing


# Variables


def variables_of_the_code() -> set[str]:
    """Return the names of variables that the config layer and the home folder know: all strings of that form."""
    return {
        text
        for path in (*(PACKAGE / "config").glob("*.py"), PACKAGE / "security" / "keystore.py")
        for text in strings(source(path))
        if re.fullmatch("FAME_[A-Z_]+", text)
    }


def test_the_readme_lists_the_variables_there_are() -> None:
    listed = [row[0].strip("`") for row in rows(section("Environment variables"))]
    assert sorted(listed) == sorted(variables_of_the_code())


def test_the_variables_that_mean_one_node_come_first_as_the_readme_says() -> None:
    listed = [row[0].strip("`") for row in rows(section("Environment variables"))]
    assert "first nine mean one node" in section("Environment variables")
    assert set(listed[:9]) == set(NODE_VARIABLES)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_document_names_a_variable_there_is_not(path: Path) -> None:
    named = set(re.findall(r"\bFAME_[A-Z_]+\b", path.read_text(encoding="utf-8")))
    assert named <= variables_of_the_code()


# Commands


class CommandLine(NamedTuple):
    """Hold a command as a document shows it, and the result it claims, "" for none."""

    path: Path
    text: str
    result: str = ""

    def words(self) -> list[str]:
        """Return the words after ``fame``."""
        words = shlex.split(self.text, comments=True)
        ends = [words.index(mark) for mark in ("|", ">") if mark in words]
        return words[1 : min(ends, default=None)]


def command_lines() -> Iterator[CommandLine]:
    """Yield the lines of all code blocks that call `fame`, with variables and prompts taken off."""
    for path in DOCUMENTS:
        for block in blocks(path.read_text(encoding="utf-8"), "bash", "console", ""):
            for line in block.splitlines():
                found = re.match(r"(?:\$ )?(?:[A-Z_0-9]+=\S+ )*(fame .*?)(?:\s{2,}(?:→ (.*)|[(#].*))?$", line)
                if found:
                    yield CommandLine(path, found[1], re.split(r"\s{2,}", found[2] or "")[0])


def load(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that words name, and the words after its name."""
    command, rest = load_command(words[0]), words[1:]
    subcommands = vars(command).get("commands")
    return (subcommands[rest[0]], rest[1:]) if subcommands and rest else (command, rest)


@pytest.mark.parametrize("line", [pytest.param(line, id=line.text) for line in command_lines()])
def test_each_command_in_the_documents_is_one(line: CommandLine) -> None:
    words = line.words()
    if words == ["--version"]:
        return
    command, rest = load(words)
    command.make_context("fame", list(rest), obj=Invocation(env={}))
    shown = {file for text in blocks(README, "yaml") for file in re.findall(r"^# (\S+\.yaml)$", text, re.MULTILINE)}
    for word in rest:
        if word.endswith(".yaml") and word not in shown and not (ROOT / word).is_file():
            find(word, line.path.parent)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_command_within_the_prose_has_those_options(path: Path) -> None:
    texts = [re.sub(r"^(?:[A-Z_0-9]+=\S+ )+", "", text) for text in spans(path.read_text(encoding="utf-8"))]
    for text in texts:
        if text.startswith("fame ") and text != "fame --version":
            command, rest = load(text.split()[1:])
            known = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in rest if re.match(r"--?[a-z]", word)} <= known | {"--help"}, text


def test_the_readme_shows_each_command() -> None:
    inline = [CommandLine(Path("README.md"), text) for text in spans(README) if text.startswith("fame ")]
    shown = [*(line for line in command_lines() if line.path.name == "README.md"), *inline]
    assert {line.words()[0] for line in shown} >= COMMANDS.keys()


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run the example's four nodes and give the variables with which a command reaches them."""
    env = surroundings(tmp_path_factory)
    try:
        run(["up", "-d", "examples/peers/fabric.yaml"], env)
        yield env
    finally:
        run(["down", "examples/peers/fabric.yaml"], env)


def surroundings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the variables of a machine that has no fabric yet: two free ports, and folders of its own."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        ports = [str(each.getsockname()[1]) for each in sockets]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FAME_", "PEER_SENTINEL"))}
    env = kept | {"PEER_SENTINEL1_PORT": ports[0], "PEER_SENTINEL2_PORT": ports[1], "PYTHONPATH": str(ROOT)}
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        env[name] = str(tmp_path_factory.mktemp(name.lower()))
    env["FAME_DIRECT_ADMISSION_URL"] = f"ws://127.0.0.1:{ports[0]}/fame/v1/attach/ws/downstream"
    return env


def run(words: list[str], env: dict[str, str], code: int = 0) -> str:
    command = [sys.executable, "-m", "fame_cli", *words]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.mark.e2e
@pytest.mark.parametrize("line", [pytest.param(line, id=line.text) for line in command_lines() if line.result])
def test_each_command_gives_the_result_the_readme_shows(line: CommandLine, example: dict[str, str]) -> None:
    said = line.result.removesuffix(", one a line")
    shown = said.replace(" ", "\n") if said != line.result else said
    assert run(line.words(), example) == shown + "\n"


@pytest.mark.e2e
@pytest.mark.parametrize("profile", ["gated", "overlay", "strict-overlay"])
def test_a_fabric_is_opened_to_others_as_the_readme_shows(
    profile: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    env = surroundings(tmp_path_factory)
    try:
        for line in blocks(section("Open it to others"), "bash")[0].splitlines():
            said, _, claimed = line.partition("→ ")
            words = shlex.split(said, comments=True)
            given = dict(each.split("=", 1) for each in words if re.match(r"[A-Z_]+=", each))
            if words[0] == "export":
                env |= given | {"FAME_SECURITY_PROFILE": profile}
                continue
            code = re.search(r"exit code (\d)", said)
            printed = run(words[words.index("fame") + 1 :], env | given, int(code[1]) if code else 0)
            assert not claimed or printed == claimed + "\n"
    finally:
        command = [sys.executable, "-m", "fame_cli", "down", "examples/peers/fabric.yaml"]
        subprocess.run(command, env=env, cwd=ROOT, capture_output=True, timeout=60, check=False)  # a line has failed


def test_the_readme_shows_results_at_all() -> None:
    assert len([line for line in command_lines() if line.result]) >= 4


def test_make_without_a_target_lists_each_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert targets
    assert set(re.findall(r"@echo 'make ([a-z-]+) ", makefile)) == set(targets[1].split()) - {"help"}


def test_the_readme_opens_with_the_demo_and_the_tests() -> None:
    assert [line.split("#")[0].strip() for line in blocks(README, "bash")[0].splitlines()] == ["make demo", "make test"]


# YAML and Python


@pytest.mark.parametrize("text", blocks(README, "yaml"), ids=["sentinel", "agent", "mesh", "operations", "http"])
def test_each_config_of_the_readme_loads(text: str, tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(text, encoding="utf-8")
    load_any(file, env={})


@pytest.mark.parametrize(("index", "name"), [(0, "peer2.yaml"), (1, "math2.yaml")])
def test_the_configs_the_readme_shows_are_those_in_the_folder(index: int, name: str) -> None:
    shipped = (ROOT / "configs" / name).read_text(encoding="utf-8")
    assert yaml.safe_load(blocks(README, "yaml")[index]) == yaml.safe_load(shipped)


def test_the_agent_of_the_readme_serves_what_it_shows() -> None:
    module = ModuleType("readme")
    exec(compile(blocks(README, "python")[0], "README.md", "exec"), vars(module))  # as a user would paste it
    assert list(vars(module)["Greeter"]().operations) == ["greet", "spell"]


def test_the_client_of_the_readme_compiles() -> None:
    assert compile(blocks(README, "python")[1], "README.md", "exec")


def dotted_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the keys of a section and, dotted, those of the sections in it."""
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        yield key
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from dotted_keys(kind, f"{key}.")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_config_key_a_document_names_is_one(path: Path) -> None:
    keys = {key for model in (SentinelConfig, AgentConfig, ClientConfig) for key in dotted_keys(model)}
    sections = {key.partition(".")[0] for key in keys if "." in key} - {"agent"}  # agent.describe is an operation
    named = {text for text in spans(path.read_text(encoding="utf-8")) if re.fullmatch(r"[a-z_]+\.[a-z_]+", text)}
    assert {name for name in named if name.partition(".")[0] in sections} <= keys | PATHS.keys()  # those of policies


# Events and codes


def events_of_the_code() -> dict[str, tuple[set[str], set[str]]]:
    """Return event → (levels, facts), from all calls of `log_event` and of a state's `note`."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for path in PACKAGE.rglob("*.py"):
        for call in ast.walk(source(path)):
            if isinstance(call, ast.Call) and re.search(r"(^log_event|state\.note)$", ast.unparse(call.func)):
                event, *level = call.args
                if isinstance(event, ast.Constant):  # all but the shell, which passes notes on
                    levels, facts = found.setdefault(str(event.value), (set(), set()))
                    levels |= {text for each in level for text in strings(each)} or {"info"}
                    facts |= {keyword.arg or "**" for keyword in call.keywords}
    return found


def test_the_events_that_are_logged_are_those_in_the_list() -> None:
    listed = {
        event.strip("`"): (set(levels.split(", ")), set(re.findall(r"`(\w+)`", facts)))
        for event, levels, facts, _ in rows((ROOT / "docs" / "events.md").read_text(encoding="utf-8"))
    }
    assert listed == events_of_the_code()
    assert list(listed) == sorted(listed)


def test_the_audit_log_takes_down_events_there_are_and_the_denials_of_policies() -> None:
    assert AUDITED - events_of_the_code().keys() == {"policy_denied"}


def test_the_codes_the_core_says_are_those_in_the_list() -> None:
    said = {
        text
        for path in (PACKAGE / "core").glob("*.py")
        for text in strings(source(path))
        if re.fullmatch(r"[A-Z]+(_[A-Z]+)+|MALFORMED|REFUSED", text) and text not in constants(source(path))
    }
    text = (ROOT / "docs" / "wire-extensions.md").read_text(encoding="utf-8")
    codes = re.search(r"^## Codes\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert codes
    assert said == set(re.findall(r"`([A-Z]{2,}[A-Z_]*)`", codes[1]))


def constants(tree: ast.Module) -> set[str]:
    """Return the names a module exports, which are written as texts as well."""
    lists = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    return {text for node in lists for text in strings(node)}


# Links, names and lengths


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_relative_link_leads_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
    lost = [target for target in targets if "://" not in target and not (path.parent / target).exists()]
    assert not lost


def test_each_file_that_the_architecture_names_is_there() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[\w]+/)*[\w-]+\.(?:py|md|toml|yaml))`", text))
    places = (ROOT, ROOT / "fame_cli", ARCHITECTURE.parent)
    assert named
    assert not [name for name in named if not any((place / name).exists() for place in places)]


def test_each_public_name_that_the_architecture_gives_a_file_is_in_it() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    pairs = re.findall(r"`((?:core|node|net)/\w+\.py)`, `(?:\w+\.)?(\w+)`", text)
    assert pairs
    for file, name in pairs:
        assert re.search(rf"def {name}\b", (ROOT / "fame_cli" / file).read_text(encoding="utf-8")), (file, name)


def test_the_architecture_is_two_pages_at_most() -> None:
    assert len(ARCHITECTURE.read_text(encoding="utf-8").splitlines()) <= MAX_ARCHITECTURE_LINES


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(path.name[:4]) for path in ADRS] == list(range(1, len(ADRS) + 1))


@pytest.mark.parametrize("path", ADRS, ids=lambda path: path.stem)
def test_each_decision_has_its_parts_and_is_in_the_index(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# {int(path.name[:4])}. ")
    assert re.findall(r"^## (\w+)", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert "**Status:** " in text
    assert f"(adr/{path.name})" in (ROOT / "docs" / "README.md").read_text(encoding="utf-8")


def test_the_changelog_begins_with_what_is_unreleased() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)[0] == "Unreleased"
