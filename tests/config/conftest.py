"""Fixtures of the configuration tests: files in a folder of their own, and the errors they end in."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from fame_cli.config.load import AnyConfig, load_any
from fame_cli.config.validate import findings
from fame_cli.errors import FameError

Write = Callable[..., Path]
Problems = Callable[..., list[str]]
Loaded = Callable[..., AnyConfig]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a file into an empty current folder and return its relative path."""
    monkeypatch.chdir(tmp_path)

    def write_file(text: str, name: str = "a.yaml") -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def loaded(write: Write) -> Loaded:
    """Load the config that a text describes."""

    def load_text(text: str, env: Mapping[str, str] | None = None) -> AnyConfig:
        return load_any(write(text), env=env or {})[0]

    return load_text


@pytest.fixture
def problems(write: Write) -> Problems:
    """Return every line that is said about a text, which must be wrong."""

    def load_text(text: str, env: Mapping[str, str] | None = None) -> list[str]:
        path = write(text)
        with pytest.raises(FameError) as caught:
            load_any(path, env=env or {})
        lines = findings(caught.value)
        assert all(line and "\n" not in line for line in lines)
        return lines

    return load_text
