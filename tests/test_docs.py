"""What the documents say is so: exit codes, variables, commands, YAML, links and names are held against the code."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from fame_cli import errors
from fame_cli.cli.main import COMMANDS, load_command
from fame_cli.cli.options import Invocation
from fame_cli.config.load import find, load_any
from fame_cli.config.overlay import NODE_VARIABLES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = ROOT / "docs" / "architecture.md"
DOCUMENTS = sorted(
    path
    for folder in (ROOT, *(ROOT / name for name in ("docs", "docs/adr", "examples/peers", "benchmarks")))
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


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


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
    """Return the names of variables that the config layer knows: all its strings of that form."""
    return {
        node.value
        for path in (ROOT / "fame_cli" / "config").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch("FAME_[A-Z_]+", node.value)
    }


def test_the_readme_lists_the_variables_there_are() -> None:
    listed = [row[0].strip("`") for row in rows(section("Environment variables"))]
    assert sorted(listed) == sorted(variables_of_the_code())


def test_the_variables_that_mean_one_node_come_first_as_the_readme_says() -> None:
    listed = [row[0].strip("`") for row in rows(section("Environment variables"))]
    assert "first six mean one node" in section("Environment variables")
    assert set(listed[:6]) == set(NODE_VARIABLES)


# Commands


def command_lines() -> Iterator[tuple[Path, str]]:
    for path in DOCUMENTS:
        for block in blocks(path.read_text(encoding="utf-8"), "bash"):
            yield from ((path, line) for line in block.splitlines() if line.startswith("fame "))


def words_of(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    return words[1 : words.index("|") if "|" in words else None]


@pytest.mark.parametrize(("path", "line"), [pytest.param(*found, id=found[1]) for found in command_lines()])
def test_each_command_in_the_documents_is_one(path: Path, line: str) -> None:
    name, *words = words_of(line)
    command = load_command(name)
    commands = vars(command).get("commands")
    if commands:
        command = commands[words.pop(0)]
    command.make_context(f"fame {name}", list(words), obj=Invocation())
    for word in words:
        if word.endswith(".yaml"):
            find(word, path.parent)


def test_the_readme_shows_each_command() -> None:
    shown = {words_of(line)[0] for path, line in command_lines() if path.name == "README.md"}
    assert shown == COMMANDS.keys() - {"render"}


def test_make_without_a_target_lists_each_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert targets
    assert set(re.findall(r"@echo 'make ([a-z-]+) ", makefile)) == set(targets[1].split()) - {"help"}


def test_the_readme_opens_with_the_demo_and_the_tests() -> None:
    assert [line.split("#")[0].strip() for line in blocks(README, "bash")[0].splitlines()] == ["make demo", "make test"]


# YAML and Python


@pytest.mark.parametrize("text", blocks(README, "yaml"), ids=["sentinel", "agent", "operations"])
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
    assert list(vars(module)["MathAgent"]().operations) == ["add", "fib_stream"]


def test_the_client_of_the_readme_compiles() -> None:
    assert compile(blocks(README, "python")[1], "README.md", "exec")


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
