"""Operations without Python: parameters checked like any, and templates, commands and HTTP calls within bounds."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from node_rig import bounded, pair, until

from fame_cli.errors import ConfigError, RemoteError
from fame_cli.node.agent import Agent
from fame_cli.node.declared import Answer, Command, HttpCall, JsonType, Parameter, Template, declared_operation
from fame_cli.node.operation import INTERNAL, INVALID_PARAMS, Operation

PYTHON = sys.executable


def declared(
    answer: Answer,
    *parameters: Parameter,
    name: str = "op",
    streaming: bool = False,
    timeout_s: float = 15.0,
    max_bytes: int = 100_000,
) -> Operation:
    return declared_operation(
        name,
        description="What it does.",
        parameters=parameters,
        streaming=streaming,
        timeout_s=timeout_s,
        answer=answer,
        max_bytes=max_bytes,
    )


def script(code: str, *, result: Any = "text") -> Command:
    return Command((PYTHON, "-c", f"import json, os, sys, time\n{code}"), result)


def ask(operation: Operation, **arguments: object) -> Any:
    """Call an operation and return its result."""

    async def main() -> object:
        outcome = operation.invoke([], arguments)
        assert isinstance(outcome, Awaitable)
        return await outcome

    return bounded(main())


def failure(operation: Operation, **arguments: object) -> str:
    """Return the text of the error an operation ends in: one line."""
    with pytest.raises(RemoteError) as caught:
        ask(operation, **arguments)
    assert caught.value.code == INTERNAL
    assert "\n" not in str(caught.value)
    return str(caught.value)


def items_of(operation: Operation, **arguments: object) -> list[object]:
    """Collect a stream; an error at its end is the last item."""

    async def main() -> list[object]:
        items: list[object] = []
        outcome = operation.invoke([], arguments)
        assert isinstance(outcome, AsyncIterator)
        try:
            async for item in outcome:
                items.append(item)  # noqa: PERF401  # what came before an error counts
        except RemoteError as error:
            items.append(error)
        return items

    return bounded(main())


def required(name: str, kind: JsonType = "string") -> Parameter:
    return Parameter(name, kind)


def optional(name: str, default: object, kind: JsonType = "string") -> Parameter:
    return Parameter(name, kind, required=False, default=default)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits for its parent doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# Parameters

TYPES: list[tuple[JsonType, object, list[object]]] = [
    ("integer", 3, [3.5, "3", True, None]),
    ("number", 3, ["3", True, None]),
    ("number", 3.5, [[]]),
    ("string", "a", [3, None, ["a"]]),
    ("boolean", True, [1, "true", None]),
    ("object", {"a": {"b": 1}}, [[], "{}", None]),
    ("array", [1, "a", None], [{}, "[]", None]),
]


@pytest.mark.parametrize(("kind", "good", "wrong"), TYPES)
def test_arguments_are_held_to_their_type(kind: JsonType, good: object, wrong: list[object]) -> None:
    operation = declared(Template("{{ x | tojson }}", "json"), required("x", kind))
    result = ask(operation, x=good)
    assert result == good
    assert type(result) is type(good)
    for value in wrong:
        with pytest.raises(RemoteError, match="^op: x: expected ") as caught:
            operation.invoke([], {"x": value})
        assert (caught.value.code, caught.value.data) == (INVALID_PARAMS, {"parameter": "x"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "op needs a; it takes a, b"),
        ({"a": "x", "c": 1}, "op has no parameter c; it takes a, b"),
        ({"a": "x", "b": None}, "op: b: expected int, got null"),
    ],
)
def test_missing_and_unknown_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    operation = declared(Template("{{ a }}{{ b }}"), required("a"), optional("b", 2, "integer"))
    with pytest.raises(RemoteError) as caught:
        operation.invoke([], arguments)
    assert (caught.value.code, str(caught.value)) == (INVALID_PARAMS, message)


def test_arguments_may_come_by_position() -> None:
    async def main() -> object:
        operation = declared(Template("{{ a }}{{ b }}"), required("a"), optional("b", 2, "integer"))
        outcome = operation.invoke(["x", 3], {})
        assert isinstance(outcome, Awaitable)
        return await outcome

    assert bounded(main()) == "x3"


def test_defaults_fill_what_is_not_given() -> None:
    operation = declared(
        Template("{{ a }} {{ b }} {{ c }}"), optional("a", "x"), optional("b", [1], "array"), optional("c", None)
    )
    assert ask(operation) == "x [1] None"
    assert ask(operation, a="y", c=None) == "y [1] None"


def test_a_parameter_may_have_any_name() -> None:
    operation = declared(
        Template("{{ class }}{{ __init__ }}{{ self_ }}", "json"),
        *(required(name, "integer") for name in ("class", "__init__", "self_")),
    )
    assert ask(operation, **{"class": 1, "__init__": 2, "self_": 3}) == 123


def test_the_schema_is_that_of_the_parameters() -> None:
    operation = declared(
        Template(""),
        Parameter("n", "number", description="How much."),
        Parameter("tags", "array", required=False, default=["a"]),
        Parameter("note", "string", required=False, default=None),
    )
    assert operation.describe() == {
        "name": "op",
        "description": "What it does.",
        "streaming": False,
        "schema": {
            "type": "object",
            "properties": {
                "n": {"type": "number", "description": "How much."},
                "tags": {"type": "array", "default": ["a"]},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            },
            "required": ["n"],
            "additionalProperties": False,
        },
    }


@pytest.mark.parametrize("answer", [Template("a"), HttpCall("http://127.0.0.1:1/")])
def test_only_a_command_can_stream(answer: Answer) -> None:
    with pytest.raises(ConfigError, match="only a command can stream"):
        declared(answer, streaming=True)


# Templates


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
        "{% set r = range(99999) %}{% for a in r %}{% for b in r %}{% for c in r %}{% endfor %}{% endfor %}{% endfor %}",
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


# Commands


def test_a_command_gets_its_arguments_as_json_on_stdin_and_its_stdout_is_the_result() -> None:
    operation = declared(
        script("a = json.load(sys.stdin); print(a['x'] + a['y'], sorted(a))"),
        required("x", "integer"),
        optional("y", 2, "integer"),
    )
    assert ask(operation, x=1) == "3 ['x', 'y']"


def test_the_output_of_a_command_may_be_json() -> None:
    assert ask(
        declared(script("print(sys.stdin.read())", result="json"), required("x", "object")), x={"a": [None, "é"]}
    ) == {"x": {"a": [None, "é"]}}
    assert failure(declared(script("print('a')", result="json"))).startswith("op: what the command prints isn't JSON: ")


def test_a_command_loses_the_line_ends_at_the_end_of_its_output_and_nothing_else() -> None:
    assert ask(declared(script("print(' a\\n\\n b \\r\\n\\n')"))) == " a\n\n b "


def test_a_command_never_sees_a_shell() -> None:
    assert ask(declared(Command(("echo", "$HOME;", "*", "`id`", "a  b")))) == "$HOME; * `id` a  b"


def test_a_command_that_does_not_read_its_arguments_is_free_not_to() -> None:
    assert ask(declared(Command(("true",)), required("x")), x="a" * 1_000_000) == ""


def test_large_arguments_and_large_output_pass_at_the_same_time() -> None:
    operation = declared(script("for line in sys.stdin: print(line)"), required("x"), max_bytes=3_000_000)
    assert len(ask(operation, x="a" * 2_000_000)) > 2_000_000


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("sys.exit(3)", "ended with code 3"),
        ("sys.exit('first\\nno such city ')", "ended with code 1: no such city"),
        ("print('out'); sys.stderr.write('x' * 100_000 + '\\nlast\\n\\n'); sys.exit(2)", "ended with code 2: last"),
        ("sys.stderr.buffer.write(b'caf\\xe9'); sys.exit(2)", "ended with code 2: caf�"),
        ("os.kill(os.getpid(), 9)", "was killed by signal 9"),
    ],
)
def test_a_command_that_fails_says_how(code: str, told: str) -> None:
    assert failure(declared(script(code))) == f"op: the command {told}"


def test_the_exit_code_of_a_command_is_in_the_data() -> None:
    with pytest.raises(RemoteError) as caught:
        ask(declared(script("sys.exit(3)")))
    assert caught.value.data == {"exit_code": 3}


def test_what_a_command_says_on_stderr_is_no_part_of_its_result() -> None:
    assert ask(declared(script("print('a'); sys.stderr.write('b' * 1_000_000)"))) == "a"


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("/no/such/program",), "/no/such/program can't be started: no such file or directory"),
        (("/",), "/ can't be started: permission denied"),
        (("echo", "a\0b"), "echo can't be started: embedded null byte"),
    ],
)
def test_a_program_that_cannot_be_started_is_told(argv: tuple[str, ...], told: str) -> None:
    assert failure(declared(Command(argv))) == f"op: {told}"


def test_a_command_that_prints_too_much_is_killed() -> None:
    operation = declared(script("while True: print('a' * 1000)"), max_bytes=5000)
    assert failure(operation) == "op: the command prints more than 5000 bytes"
    assert len(ask(declared(script("print('a' * 4999)"), max_bytes=5000))) == 4999


def test_a_command_that_prints_what_is_not_utf_8_is_an_error() -> None:
    assert failure(declared(script("sys.stdout.buffer.write(b'\\xff')"))) == "op: the command prints what isn't UTF-8"


def test_a_command_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"import subprocess; c = subprocess.Popen(['sleep', '60']); open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{c.pid}}'); c.wait()"
    assert failure(declared(script(code), timeout_s=1.5)) == "op: the command took longer than 1.5 s"
    assert len(pids.read_text().split()) == 2
    bounded(until(lambda: not any(is_alive(int(pid)) for pid in pids.read_text().split())))


def test_what_a_command_leaves_behind_does_not_keep_its_caller(tmp_path: Path) -> None:
    """The child holds stdout open when its parent has ended: the call ends in time all the same."""
    pid = tmp_path / "pid"
    code = f"import subprocess; c = subprocess.Popen(['sleep', '60']); open({str(pid)!r}, 'w').write(str(c.pid))"
    assert failure(declared(script(code), timeout_s=1.5)) == "op: the command took longer than 1.5 s"
    bounded(until(lambda: not is_alive(int(pid.read_text()))))


def test_a_cancelled_command_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"import subprocess; c = subprocess.Popen(['sleep', '60']); open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{c.pid}} '); c.wait()"

    async def main() -> None:
        async with pair(Agent.from_operations([declared(script(code))])) as nodes:
            asked = nodes.ask("op")
            await until(lambda: pids.exists() and pids.read_text().endswith(" "))
            nodes.calling.cancel(asked.key)
            await until(lambda: not any(is_alive(int(pid)) for pid in pids.read_text().split()))

    bounded(main())


def test_commands_run_at_the_same_time() -> None:
    """Each waits for the file the other makes."""

    async def main(folder: Path) -> None:
        code = (
            f"a = json.load(sys.stdin); folder = {str(folder)!r}\n"
            "open(f'{folder}/{a[\"mine\"]}', 'w').close()\n"
            "while not os.path.exists(f'{folder}/{a[\"other\"]}'): time.sleep(0.01)"
        )
        operation = declared(script(code), required("mine"), required("other"))
        async with pair(Agent.from_operations([operation])) as nodes:
            asked = [nodes.ask("op", "a", "b"), nodes.ask("op", "b", "a")]
            assert [await each.result() for each in asked] == ["", ""]

    import tempfile

    with tempfile.TemporaryDirectory() as name:
        bounded(main(Path(name)))


# Streaming commands


def test_each_line_of_a_streaming_command_is_an_item_and_json_if_it_is_json() -> None:
    operation = declared(
        script("print('1\\n\"a\"\\n{\"b\": [2]}\\nplain text\\n\\n007\\ntrue\\n{broken'); print('no end', end='')"),
        streaming=True,
    )
    assert operation.streaming
    assert items_of(operation) == [1, "a", {"b": [2]}, "plain text", "", "007", True, "{broken", "no end"]


def test_a_streaming_command_without_output_is_an_empty_stream() -> None:
    assert items_of(declared(Command(("true",)), streaming=True)) == []


def test_lines_come_while_the_command_still_runs() -> None:
    """The command goes on only when its first line has been taken."""

    async def main(flag: Path) -> None:
        code = f"print('first', flush=True)\nwhile not os.path.exists({str(flag)!r}): time.sleep(0.01)\nprint('second')"
        items: list[object] = []
        outcome = declared(script(code), streaming=True).invoke([], {})
        assert isinstance(outcome, AsyncIterator)
        async for item in outcome:
            items.append(item)
            flag.touch()
        assert items == ["first", "second"]

    import tempfile

    with tempfile.TemporaryDirectory() as name:
        bounded(main(Path(name) / "flag"))


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("print(1); sys.exit('broke')", "op: the command ended with code 1: broke"),
        ("print(1, flush=True); print('a' * 5000)", "op: the command prints a line of more than 2000 bytes"),
        ("print(1, flush=True); time.sleep(60)", "op: the command printed nothing for 1.5 s"),
        (
            "print(1); sys.stdout.flush(); sys.stdout.buffer.write(b'\\xff\\n')",
            "op: the command prints what isn't UTF-8",
        ),
    ],
)
def test_a_stream_that_fails_ends_in_its_error(code: str, told: str) -> None:
    items = items_of(declared(script(code), streaming=True, timeout_s=1.5, max_bytes=2000))
    assert items[0] == 1
    assert str(items[1]) == told
    assert len(items) == 2


def test_a_stream_may_be_longer_than_what_one_line_may_be() -> None:
    items = items_of(declared(script("for n in range(1000): print('a' * 100)"), streaming=True, max_bytes=2000))
    assert items == ["a" * 100] * 1000


def test_a_stream_that_is_closed_kills_its_command() -> None:
    async def main() -> None:
        operation = declared(script("while True: print(os.getpid())"), streaming=True)
        async with pair(Agent.from_operations([operation])) as nodes:
            asked = nodes.ask("op", streaming=True)
            await until(lambda: bool(asked.items))
            pid = asked.items[0]
            assert isinstance(pid, int)
            nodes.calling.cancel(asked.key)
            await until(lambda: not is_alive(pid))
            first = await nodes.ask("op").result()
            assert isinstance(first, int)
            await until(lambda: not is_alive(first))

    bounded(main())


# HTTP calls

Respond = Callable[[str, dict[str, str], bytes], bytes]


def http(status: str = "200 OK", body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def web_service(respond: Respond) -> AsyncIterator[str]:
    """Answer HTTP requests: `respond` gets request line, headers and body."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        writer.write(respond(head[0], headers, body))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def asked_over_http(
    respond: Respond,
    *parameters: Parameter,
    path: str = "/path",
    method: str = "POST",
    headers: dict[str, str] | None = None,
    timeout_s: float = 15.0,
    **arguments: object,
) -> Any:
    """Call an operation that asks a web service."""

    async def main() -> object:
        async with web_service(respond) as url:
            operation = declared(
                HttpCall(url + path, method, headers or {}), *parameters, timeout_s=timeout_s, max_bytes=5000
            )
            outcome = operation.invoke([], arguments)
            assert isinstance(outcome, Awaitable)
            return await outcome

    return bounded(main())


def echo(line: str, headers: dict[str, str], body: bytes) -> bytes:
    return http("200 OK", json.dumps({"line": line, "headers": headers, "body": body.decode()}).encode())


def test_an_http_call_sends_its_arguments_as_json_and_its_json_answer_is_the_result() -> None:
    told = asked_over_http(echo, required("city"), optional("days", 3, "integer"), city="Zürich")
    assert told["line"] == "POST /path HTTP/1.1"
    assert json.loads(told["body"]) == {"city": "Zürich", "days": 3}
    assert told["headers"]["content-type"] == "application/json"
    assert told["headers"]["accept"] == "application/json"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_methods_send_json_too(method: str) -> None:
    told = asked_over_http(echo, required("a"), method=method, a="b")
    assert told["line"] == f"{method} /path HTTP/1.1"
    assert told["body"] == '{"a":"b"}'


def test_a_get_sends_its_arguments_as_query_and_keeps_that_of_the_url() -> None:
    parameters = [
        required("q"),
        required("n", "number"),
        required("deep", "boolean"),
        required("tags", "array"),
        optional("none", None),
    ]
    told = asked_over_http(
        echo, *parameters, path="/find?key=s%20e", method="GET", q="a&b=ü", n=1.5, deep=True, tags=[1, "x"]
    )
    assert told["line"] == "GET /find?key=s+e&q=a%26b%3D%C3%BC&n=1.5&deep=true&tags=%5B1%2C%22x%22%5D HTTP/1.1"
    assert told["body"] == ""
    assert "content-type" not in told["headers"]


def test_headers_of_the_config_are_sent_and_win() -> None:
    told = asked_over_http(echo, headers={"Authorization": "Bearer a", "ACCEPT": "text/json", "X-Name": "Zürich"})
    assert told["headers"]["authorization"] == "Bearer a"
    assert told["headers"]["accept"] == "text/json"
    assert told["headers"]["x-name"].encode("latin-1").decode() == "Zürich"


def test_an_empty_answer_is_null() -> None:
    assert asked_over_http(lambda *_: http("204 No Content")) is None


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (http("404 Not Found", b"no\n such  city"), "answered HTTP 404: no such city"),
        (http("500 Internal Server Error"), "answered HTTP 500"),
        (http("503 Service Unavailable", b"x" * 100_000), "answered HTTP 503: " + "x" * 200),
        (http("302 Found", b"", "Location: http://127.0.0.1:1/"), "answered HTTP 302"),
        (http("200 OK", b"x" * 5001), "answered more than 5000 bytes"),
        (b"garbage\r\n\r\n", "can't be asked: "),
        (b"", "can't be asked: "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", "can't be asked: "),
    ],
)
def test_an_answer_that_is_no_result_is_an_error(response: bytes, told: str) -> None:
    with pytest.raises(RemoteError, match=rf"^op: http://127\.0\.0\.1:\d+ {told}") as caught:
        asked_over_http(lambda *_: response)
    assert caught.value.code == INTERNAL
    assert "\n" not in str(caught.value)


def test_the_status_of_a_refusal_is_in_the_data() -> None:
    with pytest.raises(RemoteError) as caught:
        asked_over_http(lambda *_: http("404 Not Found"))
    assert caught.value.data == {"status": 404}


def test_an_answer_that_is_not_json_is_an_error() -> None:
    with pytest.raises(RemoteError, match=r"^op: what http://127\.0\.0\.1:\d+ answered isn't JSON: "):
        asked_over_http(lambda *_: http("200 OK", b"<html>"))


def test_a_small_answer_that_unpacks_into_a_large_one_is_an_error() -> None:
    import gzip

    body = gzip.compress(b'"' + b"x" * 1_000_000 + b'"')
    with pytest.raises(RemoteError, match="answered more than 5000 bytes"):
        asked_over_http(lambda *_: http("200 OK", body, "Content-Encoding: gzip"))


def test_a_service_that_does_not_answer_in_time_is_an_error() -> None:
    async def main() -> None:
        silent = asyncio.Event()

        async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await silent.wait()
            writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            outcome = declared(HttpCall(f"http://127.0.0.1:{port}/secret?key=secret"), timeout_s=0.2).invoke([], {})
            assert isinstance(outcome, Awaitable)
            with pytest.raises(RemoteError, match=rf"^op: http://127\.0\.0\.1:{port} didn't answer within 0\.2 s$"):
                await outcome
            silent.set()

    bounded(main())


def test_a_service_that_is_not_there_is_an_error_that_tells_no_secrets() -> None:
    told = failure(declared(HttpCall("http://user:secret@127.0.0.1:1/secret?key=secret")))
    assert told.startswith("op: http://127.0.0.1:1 can't be asked: ")
    assert "secret" not in told


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "file:///etc/passwd", "127.0.0.1", "http://", "http://a:b:c/", "http://[::1"]
)
def test_only_http_urls_can_be_called(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^operation op: not a"):
        declared(HttpCall(url))


def test_https_urls_can_be_called() -> None:
    assert failure(declared(HttpCall("https://127.0.0.1:1/"))).startswith("op: https://127.0.0.1:1 can't be asked: ")


def test_http_calls_without_their_extra_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(ConfigError) as caught:
        declared(HttpCall("http://127.0.0.1/"))
    assert str(caught.value) == "operation op: HTTP calls need httpx; install it: pip install 'fame-cli[http]'"
