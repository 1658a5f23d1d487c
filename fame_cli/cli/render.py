"""``fame render``: files for other tools, made from a fabric file.

For Docker every node becomes a service that runs ``fame sentinel|agent --config FILE --node NAME``. What the file says
of 127.0.0.1 is true on one machine only, so each service also gets flags: listen on all addresses of its container,
and reach the sentinels of the fabric by the names of their services. Everything else the container reads from the file.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit

import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fame_cli.cli import output
from fame_cli.cli.options import DebugOption, invocation_of
from fame_cli.config.fields import is_loopback, is_own_url
from fame_cli.config.load import FabricNode, fabric_nodes, find, load_fabric
from fame_cli.config.schema import AgentConfig, ClientConfig, SentinelConfig
from fame_cli.errors import UsageError
from fame_cli.version import VERSION

__all__ = ["app", "compose", "compose_text", "dockerfile", "dockerfile_text"]

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Write files for other tools.")

_SERVICE = re.compile(r"[a-zA-Z0-9._-]+")
_VARIABLE = re.compile(r"(?<!\$)\$(?:\{(?:env:)?([A-Za-z_]\w*)(?=\}|:\?)|<([A-Za-z_]\w*)>)")
"""A variable without a default, which the container needs from outside."""

_PROBE = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:%d/readyz', timeout=2)"
"""Fails unless a sentinel is ready; curl is not in the image."""

GRACE_S = 5
"""Seconds a container has to end beside those in which it finishes what runs."""

FileArgument = Annotated[
    str, typer.Argument(metavar="FILE", show_default=False, help="A `kind: fabric` file, here or in ./configs.")
]
OutOption = Annotated[
    Path | None, typer.Option("-o", "--out", metavar="OUT", show_default=False, help="Where to write; else stdout.")
]


@dataclass(frozen=True, slots=True)
class _Service:
    """Hold one service as the template takes it.

    Args:
        name: of the node and its service.
        command: what runs in it.
        port: where a sentinel listens, 0 for an agent.
        is_public: its port is published on the host.
        needs: services that must be healthy before it starts.
    """

    name: str
    command: Sequence[str]
    port: int = 0
    is_public: bool = False
    needs: Sequence[str] = field(default_factory=tuple)


@app.callback()
def _render() -> None:
    """Write files for other tools."""


@app.command()
def compose(ctx: typer.Context, file: FileArgument, out: OutOption = None, debug: DebugOption = False) -> None:
    """Write a docker-compose.yml that runs a fabric.

    It builds the image from the Dockerfile beside FILE (`fame render dockerfile`).

    fame render compose fabric.yaml -o docker-compose.yml
    """
    path = find(file)
    _write(compose_text(path, invocation_of(ctx).environment(), (out or path).parent), out)


@app.command()
def dockerfile(ctx: typer.Context, file: FileArgument, out: OutOption = None, debug: DebugOption = False) -> None:
    """Write the Dockerfile of the image that the services of a fabric run in.

    fame render dockerfile fabric.yaml -o Dockerfile
    """
    path = find(file)
    load_fabric(path, env=invocation_of(ctx).environment())
    _write(dockerfile_text(path), out)


def _write(text: str, out: Path | None) -> None:
    if out is None:
        output.data(text, end="")
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out} can't be written: {error.strerror}", hint="choose another place with -o") from error
    output.note(f"wrote {out}")


def compose_text(path: Path, env: Mapping[str, str], base: Path) -> str:
    """Return the compose file of a fabric.

    Args:
        path: the fabric file.
        env: the environment variables it is read with; those without a default are taken at run time, too.
        base: the folder that the compose file is for; its paths are relative to that.

    Raises:
        ConfigError: the fabric file is wrong.
        UsageError: something in it can't be had in containers.
    """
    nodes = [node for node in fabric_nodes(path, env=env) if isinstance(node.config, SentinelConfig | AgentConfig)]
    for node in nodes:
        _check(node, path)
    folder, context = path.resolve().parent, _context(path)
    name = load_fabric(path, env=env).name
    return _rendered(
        "docker-compose.yml.j2",
        {
            "file": path.name,
            "project": re.sub(r"[^a-z0-9_-]", "-", name.lower()).lstrip("-_") or "fabric",
            "context": _relative(context, base.resolve()),
            "dockerfile": (PurePosixPath(folder.relative_to(context).as_posix()) / "Dockerfile").as_posix(),
            "probe": _PROBE,
            "services": _services(nodes, path.name),
            "grace_s": math.ceil(max((_drain_s(node) for node in nodes), default=0.0)) + GRACE_S,
            "variables": sorted({a or b for a, b in _VARIABLE.findall(path.read_text(encoding="utf-8"))}),
        },
    )


def _drain_s(node: FabricNode) -> float:
    return 0.0 if isinstance(node.config, ClientConfig) else node.config.drain_s


def dockerfile_text(path: Path) -> str:
    """Return the Dockerfile for a fabric: of the sources that the fabric file lies in, else of the released package."""
    context = _context(path)
    folder = path.resolve().parent.relative_to(context).as_posix()
    is_source = context != path.resolve().parent
    return _rendered("Dockerfile.j2", {"file": path.name, "folder": folder, "is_source": is_source, "version": VERSION})


def _rendered(template: str, values: Mapping[str, object]) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # YAML and Dockerfiles, not HTML; `quoted` is their escape
    )
    environment.filters["quoted"] = _quoted
    return environment.get_template(template).render(values)


def _quoted(value: object) -> str:
    """Return a value as YAML takes it, with dollars that compose leaves alone (JSON is YAML)."""
    return json.dumps(value, ensure_ascii=False).replace("$", "$$")


def _context(path: Path) -> Path:
    """Return the folder the image is built from: the root of the sources of `fame` around the file, else its folder."""
    folder = path.resolve().parent
    for candidate in folder.parents:
        if (candidate / "fame_cli" / "version.py").is_file():
            return candidate
    return folder


def _relative(target: Path, base: Path) -> str:
    """Return the way from one folder to another, with ``..`` where it leads up."""
    shared = 0
    for one, other in zip(target.parts, base.parts, strict=False):
        if one != other:
            break
        shared += 1
    return PurePosixPath(*[".."] * (len(base.parts) - shared), *target.parts[shared:]).as_posix()


def _check(node: FabricNode, path: Path) -> None:
    """Refuse what a container could not have."""
    if not _SERVICE.fullmatch(node.name):
        raise UsageError(f"{node.name} can't name a service", hint="give the node an id of letters, digits and dashes")
    folder, file = path.resolve().parent, node.config.file
    if file is not None and not file.resolve().is_relative_to(folder):
        raise UsageError(f"{file} is outside of {folder}, which the image is made of", hint="move it there")
    if isinstance(node.config, SentinelConfig) and not node.config.listen_port:
        raise UsageError(f"{node.name} listens on a free port, which the others can't know", hint="give it a port")
    upstream = (
        node.config.upstream.direct_url if isinstance(node.config, SentinelConfig) and node.config.upstream else ""
    )
    if is_loopback(urlsplit(upstream).hostname or ""):  # fame sentinel has no flag that would replace it
        hint = "write it with the name of the parent's service as its host"
        raise UsageError(f"{node.name} has its parent at {upstream}, which a container can't reach", hint=hint)


def _services(nodes: Sequence[FabricNode], file: str) -> list[_Service]:
    sentinels = {node.name: node.config for node in nodes if isinstance(node.config, SentinelConfig)}
    dialled = {name: _targets(_urls(config), sentinels) for name, config in sentinels.items()}
    first = next(iter(sentinels), "")
    services: list[_Service] = []
    for node in nodes:
        command = ["fame", node.config.kind, "--config", file, "--node", node.name]
        if isinstance(node.config, SentinelConfig):
            command += ["--listen", f"0.0.0.0:{node.config.listen_port}"]
            command += _flags("--peer", [peer.direct_url for peer in node.config.peers], sentinels, node.name)
            needs = [name for name in dialled[node.name] if not _leads_to(name, node.name, dialled)]
            services.append(_Service(node.name, command, node.config.listen_port, node.name == first, needs))
        elif isinstance(node.config, AgentConfig):
            urls = [node.config.upstream.direct_url]
            command += _flags("--url", urls, sentinels, node.name)
            services.append(_Service(node.name, command, needs=_targets(urls, sentinels)))
    return services


def _urls(config: SentinelConfig) -> list[str]:
    """Return what a sentinel dials: its peers, then its parent."""
    return [peer.direct_url for peer in config.peers] + ([config.upstream.direct_url] if config.upstream else [])


def _targets(urls: Sequence[str], sentinels: Mapping[str, SentinelConfig]) -> list[str]:
    return [name for name, config in sentinels.items() if any(is_own_url(url, config.listen) for url in urls)]


def _leads_to(start: str, goal: str, dialled: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether one sentinel dials another, perhaps through others; they can't wait for each other, then."""
    seen, waiting = {start}, [start]
    while waiting:
        for name in dialled[waiting.pop()]:
            if name == goal:
                return True
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return False


def _flags(flag: str, urls: Sequence[str], sentinels: Mapping[str, SentinelConfig], node: str) -> list[str]:
    """Return the flags that replace URLs of this machine, all of them or none."""
    moved = [_moved(url, sentinels, node) for url in urls]
    return [] if moved == list(urls) else [word for url in moved for word in (flag, url)]


def _moved(url: str, sentinels: Mapping[str, SentinelConfig], node: str) -> str:
    """Return a URL as a container must dial it."""
    parts = urlsplit(url)
    names = _targets([url], sentinels)
    if names:
        return parts._replace(netloc=f"{names[0]}:{sentinels[names[0]].listen_port}").geturl()
    if is_loopback(parts.hostname or ""):
        raise UsageError(
            f"{node} dials {url}, where no sentinel of this fabric listens",
            hint="a container can't reach the host that way; name a host it can reach",
        )
    return url
