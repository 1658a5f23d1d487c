"""Rules of the house that imports alone can't show, read off the source: who may wait, print, look at the environment,
what may be how long, and that no test sleeps.

The rules about imports are contracts of import-linter and part of ``make check``.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "fame_cli"
TESTS = Path(__file__).parent
MODULES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))
CORE = [module for module in MODULES if module.startswith("core/")]

IMPURE = frozenset(
    [
        "asyncio",
        "contextvars",
        "datetime",
        "io",
        "locale",
        "logging",
        "os",
        "pathlib",
        "random",
        "secrets",
        "select",
        "selectors",
        "signal",
        "socket",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "uuid",
        "warnings",
    ]
)
ASKS_THE_WORLD = frozenset({"breakpoint", "eval", "exec", "input", "open", "print"})
MAX_LINES = 400
MAX_FUNCTION_LINES = 60
POLLS = "eventually"  # the one function in tests that may sleep: it polls what another process does, with a bound
PROGRAMS = (  # no tests themselves: what tests start under another interpreter, and the chaos run, which takes its time
    *(TESTS / "interop" / "naylence").rglob("*.py"),
    *(TESTS / "chaos").glob("chaos*.py"),
)
DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef)
WAITS = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
BANNED = re.compile(r"(Manager|Factory|Handler|Helpers?|Utils?|Impl|Base|Like)$|^_?(Base|Default)(?=[A-Z])")


@cache
def source(module: str) -> ast.Module:
    return ast.parse((PACKAGE / module).read_text(encoding="utf-8"))


def imported(module: str) -> Iterator[str]:
    """Yield the top-level names that a module imports, anywhere in it."""
    for node in ast.walk(source(module)):
        match node:
            case ast.Import():
                yield from (alias.name.partition(".")[0] for alias in node.names)
            case ast.ImportFrom():
                yield (node.module or "").partition(".")[0]


def called(module: str) -> Iterator[str]:
    """Yield the functions that a module calls, as written: ``print``, ``sys.stdout.write``."""
    return (ast.unparse(node.func) for node in ast.walk(source(module)) if isinstance(node, ast.Call))


@pytest.mark.parametrize("module", CORE)
def test_the_core_never_waits(module: str) -> None:
    assert not [node.lineno for node in ast.walk(source(module)) if isinstance(node, WAITS)]


@pytest.mark.parametrize("module", [*CORE, "errors.py"])
def test_the_core_has_no_clock_no_chance_no_log_and_no_files(module: str) -> None:
    assert not IMPURE.intersection(imported(module))
    assert not ASKS_THE_WORLD.intersection(called(module))


def test_only_output_prints() -> None:
    prints = re.compile(r"print|(sys\.)?std(out|err)\.(write|writelines)|(typer|click)\.s?echo")
    printing = {module for module in MODULES if any(prints.fullmatch(name) for name in called(module))}
    assert printing <= {"cli/output.py"}


def test_only_plain_reads_the_environment() -> None:
    def reads(module: str) -> bool:
        for node in ast.walk(source(module)):
            match node:
                case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "environb" | "getenv" | "putenv"):
                    return True
                case ast.ImportFrom(module="os", names=names) if {"environ", "getenv"} & {name.name for name in names}:
                    return True
        return False

    assert [module for module in MODULES if reads(module)] == ["config/plain.py"]


@pytest.mark.parametrize("module", MODULES)
def test_no_class_has_a_name_that_says_nothing(module: str) -> None:
    names = [node.name for node in ast.walk(source(module)) if isinstance(node, ast.ClassDef)]
    assert not [name for name in names if BANNED.search(name)]


@pytest.mark.parametrize("module", MODULES)
def test_each_module_says_what_it_is(module: str) -> None:
    assert ast.get_docstring(source(module))


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_has_a_docstring(module: str) -> None:
    assert not [node.name for node in public(source(module)) if not ast.get_docstring(node)]


def public(tree: ast.Module) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield public functions, and public classes with their public methods; overloads aside."""
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, *DEFINES)) and not node.name.startswith("_"):
            if not any(ast.unparse(decorator) == "overload" for decorator in node.decorator_list):
                yield node
            for method in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(method, DEFINES) and not method.name.startswith("_"):
                    yield method


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_longer_than_a_reader_keeps_in_mind(module: str) -> None:
    lines = (PACKAGE / module).read_text(encoding="utf-8").count("\n")
    assert lines <= MAX_LINES


@pytest.mark.parametrize("module", MODULES)
def test_no_function_is_longer_than_a_screen(module: str) -> None:
    functions = (node for node in ast.walk(source(module)) if isinstance(node, DEFINES))
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    assert not {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES}


def sleeps(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that wait for time to pass; ``asyncio.sleep(0)`` only gives way."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, DEFINES) and node.name == POLLS:
            continue
        if isinstance(node, ast.Call):
            call = ast.unparse(node)
            if re.match(r"((time|asyncio)\.)?sleep\(", call) and not re.fullmatch(r"(asyncio\.)?sleep\(0\)", call):
                yield node.lineno
        yield from sleeps(node)


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_sleeps(path: Path) -> None:
    if path not in PROGRAMS:
        assert not list(sleeps(ast.parse(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("time.sleep(1)", [1]),
        ("async def f():\n    await asyncio.sleep(0.1)", [2]),
        ("async def f():\n    await asyncio.sleep(0)", []),
        ("def eventually():\n    time.sleep(0.1)", []),
    ],
)
def test_the_check_of_sleeping_knows_a_sleep(code: str, lines: list[int]) -> None:
    assert list(sleeps(ast.parse(code))) == lines


def test_the_package_says_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
