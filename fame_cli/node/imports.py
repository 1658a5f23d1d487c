"""Finding the code of an agent: ``module:Class`` or ``module:function``, as a config or a command line names it.

A module is looked up beside the config, in the folder the import names (``agents/math:MathAgent``), and then on the
Python path. What lies beside a config is loaded under a name of its own, so that two folders may each have a
``math_agent.py``.
"""

import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from fame_cli.errors import ConfigError
from fame_cli.node.agent import Agent

__all__ = ["load_agent", "missing_module"]


def load_agent(
    text: str, base_dir: Path, init: Mapping[str, object] | None = None, *, description: str | None = None
) -> Agent:
    """Import what `text` names and make an agent of it.

    Args:
        text: ``module:name``; module may be dotted or hold a folder.
        base_dir: folder of the config.
        init: arguments of the class's constructor.
        description: what callers are told instead of the docstring.

    Raises:
        ConfigError: the module or the name isn't there, raises when imported or made, or can't serve.
    """
    module_name, _, name = text.partition(":")
    module = _import(module_name, base_dir)
    found = vars(module).get(name)
    if found is None:
        public = [each for each, value in vars(module).items() if inspect.isclass(value) or inspect.isfunction(value)]
        near = difflib.get_close_matches(name, public, n=1)
        hint = f"did you mean {module_name}:{near[0]}?" if near else f"it has {', '.join(public) or 'nothing to serve'}"
        raise ConfigError(f"{module_name} has no {name}", source=_place(module), hint=hint)
    agent = _agent_of(found, text, _place(module), init or {})
    if description is not None:
        agent.describe_as(description)
    return agent


def _agent_of(found: object, text: str, place: str, init: Mapping[str, object]) -> Agent:
    if inspect.isclass(found) and issubclass(found, Agent):
        try:
            return found(**init)
        except Exception as error:  # the boundary to user code: a constructor may raise anything
            what = f"{text} can't be made: {type(error).__name__}: {' '.join(str(error).split())}"
            raise ConfigError(what, source=place, hint="see agent.init; --debug shows all") from error
    if init:
        raise ConfigError(f"{text} takes no init", source=place, hint="name a class, or remove agent.init")
    if isinstance(found, Agent):
        return found
    if inspect.isfunction(found):
        return Agent.from_functions([found])
    raise ConfigError(f"{text} is a {type(found).__name__}", source=place, hint="name an Agent or a function")


def _place(module: ModuleType) -> str:
    return str(module.__file__ or module.__name__)


def missing_module(text: str, base_dir: Path) -> str:
    """Say where the module that `text` names was looked for; "" where there is one. None of its code is run."""
    module_name = text.partition(":")[0]
    file, looked = _file_of(module_name, base_dir)
    if file is not None:
        return ""
    try:
        found = "/" not in module_name and importlib.util.find_spec(module_name.partition(".")[0]) is not None
    except (ImportError, ValueError):
        found = False
    return "" if found else looked


def _file_of(module_name: str, base_dir: Path) -> tuple[Path | None, str]:
    """Return the file of a module in the folder of a config, None for none; and where one looks for it."""
    folder, slash, dotted = module_name.rpartition("/")
    relative = folder + slash + dotted.replace(".", "/")
    looked = f"looked for {relative}.py in {base_dir.resolve()} and for {module_name} on the Python path"
    candidates = (base_dir / f"{relative}.py", base_dir / relative / "__init__.py")
    return next((each for each in candidates if each.is_file()), None), looked


def _import(module_name: str, base_dir: Path) -> ModuleType:
    file, looked = _file_of(module_name, base_dir)
    if file is not None:
        return _load_file(file)
    if "/" in module_name:
        raise ConfigError(f"no module {module_name}", hint=looked)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and not (module_name + ".").startswith(error.name + "."):
            raise _broken(module_name, error) from error
        raise ConfigError(f"no module {module_name}", hint=looked) from error
    except Exception as error:  # the boundary to user code: its module may raise anything
        raise _broken(module_name, error) from error


def _load_file(path: Path) -> ModuleType:
    """Load one file under a name no other file has; its own folder is searched for what it imports."""
    name = f"fame_agent_{sha256(str(path.resolve()).encode()).hexdigest()[:12]}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError("can't be loaded", source=str(path), hint="is it a Python file?")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the boundary to user code: its module may raise anything
        del sys.modules[name]
        raise _broken(str(path), error) from error
    return module


def _broken(where: str, error: Exception | SystemExit) -> ConfigError:
    """Say what failed and where: the deepest line in the folder of the code, else the deepest of all."""
    places = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    folder = str(Path(where).parent) if where.endswith(".py") else None
    file, line = next((place for place in reversed(places) if folder and place[0].startswith(folder)), places[-1])
    if isinstance(error, SyntaxError):
        file, line = error.filename or where, error.lineno or 0
    what = f"importing it fails: {type(error).__name__}: {' '.join(str(error).split())}"
    return ConfigError(what, source=file, line=line, hint="mend it; --debug shows all")
