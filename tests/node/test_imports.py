"""Finding an agent's code: beside the config, in the folder named, on the Python path; and saying what is wrong."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fame_cli.errors import ConfigError
from fame_cli.node.agent import Agent
from fame_cli.node.imports import load_agent

MATH = """
from fame_cli import Agent, operation

class MathAgent(Agent):
    \"\"\"Do sums.\"\"\"

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset

    @operation
    def add(self, x: int, y: int) -> int:
        return x + y + self.offset

class Picky(Agent):
    def __init__(self) -> None:
        raise RuntimeError("no database")

def shout(text: str) -> str:
    \"\"\"Say it loudly.\"\"\"
    return text.upper()

ready = MathAgent(100)
number = 7
nothing = None
"""

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules into a folder; what importing them leaves behind goes away with the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    known = set(sys.modules)

    def write_module(name: str, text: str = MATH) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return tmp_path

    yield write_module
    for name in set(sys.modules) - known:
        del sys.modules[name]


def add(agent: Agent) -> object:
    return agent.find("add").invoke([1, 2], {})


def problem(text: str, folder: Path, **more: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load_agent(text, folder, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Where it is found


def test_a_class_is_found_beside_the_config(write: Write) -> None:
    assert add(load_agent("math_agent:MathAgent", write("math_agent.py"))) == 3


def test_a_class_is_made_with_its_arguments(write: Write) -> None:
    assert add(load_agent("math_agent:MathAgent", write("math_agent.py"), {"offset": 10})) == 13


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("agents/math_agent.py", "agents/math_agent:MathAgent"),
        ("agents/math_agent.py", "./agents/math_agent:MathAgent"),
        ("agents/math_agent.py", "agents.math_agent:MathAgent"),
        ("agents/deep/math_agent.py", "agents/deep.math_agent:MathAgent"),
        ("v1.2/math_agent.py", "v1.2/math_agent:MathAgent"),
        ("math_agent/__init__.py", "math_agent:MathAgent"),
    ],
)
def test_a_class_is_found_in_the_folder_it_names(write: Write, file: str, text: str) -> None:
    assert add(load_agent(text, write(file))) == 3


def test_the_folder_of_the_config_wins_over_the_python_path(write: Write, tmp_path: Path) -> None:
    write("far/math_agent.py", MATH.replace("x + y", "0"))
    write("near/math_agent.py", MATH)
    sys.path.insert(0, str(tmp_path / "far"))
    assert add(load_agent("math_agent:MathAgent", tmp_path / "near")) == 3


def test_the_python_path_is_searched_last(write: Write, tmp_path: Path) -> None:
    sys.path.insert(0, str(write("far/only_there.py") / "far"))
    assert add(load_agent("only_there:MathAgent", tmp_path)) == 3


def test_two_folders_may_each_have_a_module_of_one_name(write: Write, tmp_path: Path) -> None:
    write("one/math_agent.py", MATH)
    write("two/math_agent.py", MATH.replace("x + y", "x * y"))
    sums = [add(load_agent("math_agent:MathAgent", tmp_path / folder)) for folder in ("one", "two")]
    assert sums == [3, 2]


def test_a_module_is_run_once(write: Write) -> None:
    folder = write("math_agent.py")
    assert load_agent("math_agent:ready", folder) is load_agent("math_agent:ready", folder)


def test_a_module_finds_what_lies_beside_it(write: Write) -> None:
    write("agents/words.py", "WORD = 'hi'")
    folder = write("agents/greeter.py", "from words import WORD\ndef greet() -> str:\n    return WORD\n")
    assert load_agent("agents/greeter:greet", folder).find("greet").invoke([], {}) == "hi"


# What it may be


def test_a_function_is_an_agent_of_one_operation(write: Write) -> None:
    agent = load_agent("math_agent:shout", write("math_agent.py"))
    assert list(agent.operations) == ["shout"]


def test_an_agent_that_is_there_already_is_taken_as_it_is(write: Write) -> None:
    assert add(load_agent("math_agent:ready", write("math_agent.py"))) == 103


@pytest.mark.parametrize("name", ["MathAgent", "shout", "ready"])
def test_the_config_may_describe_it(write: Write, name: str) -> None:
    agent = load_agent(f"math_agent:{name}", write("math_agent.py"), description="From the config.")
    assert agent.describe()["description"] == "From the config."


# What is wrong


def test_a_missing_module_is_told_with_where_it_was_looked_for(tmp_path: Path) -> None:
    told = problem("mth_agent:MathAgent", tmp_path)
    assert told.startswith("no module mth_agent; looked for mth_agent.py in /")
    assert told.endswith("and for mth_agent on the Python path")
    assert problem("agents/x:A", tmp_path).startswith("no module agents/x; ")
    assert problem("no.such.thing:A", tmp_path).startswith("no module no.such.thing; ")


def test_a_missing_name_is_told_with_the_nearest(write: Write) -> None:
    told = problem("math_agent:MathAgnt", write("math_agent.py"))
    assert told.endswith("math_agent.py: math_agent has no MathAgnt; did you mean math_agent:MathAgent?")
    assert "it has Agent, operation, MathAgent, Picky, shout" in problem("math_agent:zzz", write("math_agent.py"))


def test_what_cannot_serve_is_told(write: Write) -> None:
    folder = write("math_agent.py")
    assert "math_agent:number is a int; name an Agent or a function" in problem("math_agent:number", folder)
    assert "has no nothing" in problem("math_agent:nothing", folder)
    assert "is a type" in problem("pathlib:Path", folder)


@pytest.mark.parametrize("name", ["shout", "ready"])
def test_arguments_for_what_takes_none_are_told(write: Write, name: str) -> None:
    told = problem(f"math_agent:{name}", write("math_agent.py"), init={"offset": 1})
    assert told.endswith(f"math_agent:{name} takes no init; name a class, or remove agent.init")


def test_a_constructor_that_fails_is_told(write: Write) -> None:
    folder = write("math_agent.py")
    assert "can't be made: TypeError: " in problem("math_agent:MathAgent", folder, init={"of": 1})
    assert "Picky can't be made: RuntimeError: no database; " in problem("math_agent:Picky", folder)


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("x = 1\ny = x / 0\n", 2, "ZeroDivisionError: division by zero"),
        ("\n\ndef (:\n", 3, "SyntaxError: "),
        ("import math\nimport no_such_module_here\n", 2, "ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("\nimport json\njson.loads('x')\n", 3, "JSONDecodeError: "),
        ("raise ValueError('two\\nlines')", 1, "ValueError: two lines"),
    ],
)
def test_a_module_that_fails_is_told_with_file_and_line(write: Write, text: str, line: int, told: str) -> None:
    folder = write("broken.py", text)
    assert problem("broken:A", folder).startswith(f"{folder}/broken.py:{line}: importing it fails: {told}")


def test_a_module_of_the_python_path_that_fails_is_told_likewise(write: Write, tmp_path: Path) -> None:
    sys.path.insert(0, str(write("far/broken_there.py", "import no_such_module_here") / "far"))
    told = problem("broken_there:A", tmp_path)
    assert told.startswith(f"{tmp_path}/far/broken_there.py:1: importing it fails: ModuleNotFoundError: ")


def test_a_module_that_failed_is_tried_again(write: Write) -> None:
    folder = write("math_agent.py", "1 / 0")
    problem("math_agent:MathAgent", folder)
    write("math_agent.py", MATH)
    assert add(load_agent("math_agent:MathAgent", folder)) == 3


def test_a_module_that_exits_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(ConfigError, match="SystemExit: 3"):
        load_agent("leaves:Agent", tmp_path)
