"""Run `fame` in this process over a stub client."""

from dataclasses import dataclass, field

from stub_fabric import StubClient
from typer.testing import CliRunner, Result

from fame_cli.cli.main import app
from fame_cli.cli.options import Invocation


@dataclass
class Fame:
    """Run `fame` in this process against `client`."""

    client: StubClient = field(default_factory=StubClient)
    env: dict[str, str] = field(default_factory=dict)

    def __call__(self, *args: str, stdin: str | None = None) -> Result:
        """Run one command line and return what it printed and its exit code."""
        invocation = Invocation(env=self.env, connect=self.client.connect)
        return CliRunner().invoke(app, list(args), input=stdin, obj=invocation)
