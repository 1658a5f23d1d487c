"""What was given on the command line of a one-shot command, whoever has read it.

``call``, ``stream``, ``ping`` and ``ls`` each have their work in a module that imports no parser (``calling``,
``streaming``, ``pinging``, ``listing``). It is reached in two ways: by typer, through the command of that name, or by
`quick`, which understands the plain command lines and spares them the 60 ms of typer and pydantic.
"""

from dataclasses import dataclass

from fame_cli.cli.output import OutputFormat

__all__ = ["Given"]


@dataclass(slots=True)
class Given:
    """Hold words and options; each command reads those it has.

    Args:
        words: what isn't an option, in order.
        json_text: all arguments of a call as a JSON object.
        capability: what a provider must offer, in place of an address.
        session: calls of one key go to one provider.
        timeout: seconds, > 0; None for the default.
        retry: a call that was lost is made again.
        form: how results are written.
        url: the sentinel to attach to.
        config: a config file.
        verbose: 0 to 2.
        count: calls to make, at least 1; None for ever.
        interval: seconds from call to call.
    """

    words: list[str]
    json_text: str | None = None
    capability: list[str] | None = None
    session: str | None = None
    timeout: float | None = None
    retry: bool = False
    form: OutputFormat = OutputFormat.text
    url: str | None = None
    config: str | None = None
    verbose: int = 0
    count: int | None = None
    interval: float = 1.0
