"""Templates: rendered over the arguments, within bounds of time and size, never made of what callers say."""

import asyncio
from collections.abc import Awaitable

import pytest
from declared_rig import ask, declared, failure, optional, required
from node_rig import bounded, pair

from fame_cli.errors import ConfigError
from fame_cli.node.agent import Agent
from fame_cli.node.declared import Template


def test_a_template_is_rendered_over_the_arguments() -> None:
    operation = declared(
        Template("Hello {{ name }}{% if loud %}!{% endif %}"), required("name"), optional("loud", True, "boolean")
    )
    assert ask(operation, name="you") == "Hello you!"
    assert ask(operation, name="<b>", loud=False) == "Hello <b>"


def test_arguments_never_become_template_code() -> None:
    operation = declared(Template("{{ name }}"), required("name"))
    assert ask(operation, name="{{ 7 * 7 }}{% raw %}") == "{{ 7 * 7 }}{% raw %}"


def test_the_text_of_a_template_may_be_json() -> None:
    operation = declared(Template('{"sum": {{ x + y }}}', "json"), required("x", "integer"), required("y", "integer"))
    assert ask(operation, x=3, y=4) == {"sum": 7}
    assert failure(declared(Template("{{ x }}", "json"), required("x")), x="a").startswith(
        "op: the template's text isn't JSON: "
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{{ nme }}", "'nme' is undefined"),
        ("{% for a in nme %}{% endfor %}", "'nme' is undefined"),
        ("{{ x.y.z }}", "'str object' has no attribute 'y'"),
        ("{{ x + 1 }}", "can only concatenate str"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ x | dictsort }}", "'str' object has no attribute 'items'"),
        ("{{ x.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("{% for i in range(10**9) %}{% endfor %}", "Range too big"),
        ("{{ 'a' * 10**9 }}", "* would make something too large"),
        ("{{ 10**9 * ['a'] }}", "* would make something too large"),
        ("{{ 9 ** 999999 }}", "** would make something too large"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "it calls itself more than 64 deep"),
        ("{% include 'other' %}", "no loader"),
    ],
)
def test_a_template_that_fails_says_why(text: str, told: str) -> None:
    assert failure(declared(Template(text), required("x")), x="a").startswith(f"op: the template fails: {told}")


@pytest.mark.parametrize(
    "text",
    [
        "{{ x * 3 }}",
        "{{ 2 ** 10 }}",
        "{{ 2.5 * 2 }}",
        "{% for i in [1, 2] %}{{ loop.index }}/{{ loop.length }} {% endfor %}",
    ],
)
def test_what_is_not_too_much_is_allowed(text: str) -> None:
    assert ask(declared(Template(text), required("x")), x="ab") in ("ababab", "1024", "5.0", "1/2 2/2 ")


def test_a_template_is_bounded_in_bytes() -> None:
    operation = declared(
        Template("{% for i in range(n) %}{{ 'é' * 1000 }}{% endfor %}"), required("n", "integer"), max_bytes=20_000
    )
    assert len(ask(operation, n=10)) == 10_000
    assert failure(operation, n=11) == "op: the template makes more than 20000 bytes"


@pytest.mark.parametrize(
    "text",
    [
        "{% set r = range(99999) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ '' }}{% endfor %}{% endfor %}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(50) }}",
    ],
)
def test_a_template_is_bounded_in_time_and_its_thread_ends(text: str) -> None:
    assert failure(declared(Template(text), timeout_s=0.1)) == "op: the template took longer than 0.1 s"


def test_a_template_whose_caller_gave_up_stops() -> None:
    async def main() -> None:
        operation = declared(
            Template("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"), timeout_s=3600
        )
        outcome = operation.invoke([], {})
        assert isinstance(outcome, Awaitable)
        task = asyncio.ensure_future(outcome)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.get_running_loop().shutdown_default_executor()

    bounded(main())


def test_others_are_served_while_a_template_renders() -> None:
    async def main() -> None:
        slow = declared(
            Template("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"),
            name="slow",
            timeout_s=3600,
        )
        async with pair(Agent.from_operations([slow, declared(Template("hi"))])) as nodes:
            asked = nodes.ask("slow")
            assert await nodes.ask("op").result() == "hi"
            nodes.calling.cancel(asked.key)

    bounded(main())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{{ x", "operation op: line 1 of the template is wrong: unexpected end of template"),
        ("\n{{ x | nosuch }}", "operation op: line 2 of the template is wrong: No filter named 'nosuch'"),
        ("{% for i in x %}" * 30 + "{% endfor %}" * 30, "operation op: the template is nested too deeply"),
        ("{{ " + "(" * 5000 + "x" + ")" * 5000 + " }}", "operation op: the template is nested too deeply"),
    ],
)
def test_a_template_that_cannot_be_compiled_is_an_error_of_the_config(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        declared(Template(text), required("x"))
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)
