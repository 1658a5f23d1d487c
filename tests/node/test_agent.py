"""An agent: which methods and functions become operations, how they are found, and what it tells of itself."""

import asyncio
import functools
import json
import re

import pytest

from fame_cli.errors import LocalProtocolError, RemoteError
from fame_cli.node.agent import DESCRIBE, METHOD_NOT_FOUND, PING, Agent, operation
from fame_cli.node.operation import operation_from


class MathAgent(Agent):
    """Do sums."""

    capabilities = ("fame.capability.math",)

    @operation
    def add(self, x: int, y: int) -> int:
        """Add two numbers."""
        return x + y

    @operation(name="math.double", description="Twice it.")
    async def double(self, x: int) -> int:
        return 2 * x

    @operation
    async def count(self, n: int = 3):
        for number in range(n):
            yield number

    def not_offered(self) -> None:
        raise AssertionError


def call(agent: Agent, name: str, *args: object, **arguments: object) -> object:
    outcome = agent.find(name).invoke(args, arguments)
    return asyncio.run(outcome) if asyncio.iscoroutine(outcome) else outcome


# What is an operation


def test_marked_methods_are_operations_and_others_are_not() -> None:
    assert list(MathAgent().operations) == ["add", "math.double", "count"]


def test_a_marked_method_stays_a_method() -> None:
    assert MathAgent().add(1, 2) == 3
    assert MathAgent.add.__doc__ == "Add two numbers."


def test_an_operation_is_bound_to_its_agent() -> None:
    class Counter(Agent):
        def __init__(self, start: int) -> None:
            self.value = start

        @operation
        def up(self) -> int:
            self.value += 1
            return self.value

    one, other = Counter(1), Counter(10)
    assert [call(one, "up"), call(one, "up"), call(other, "up")] == [2, 3, 11]


def test_operations_are_inherited_in_the_order_of_the_bases() -> None:
    class Wider(MathAgent):
        @operation
        def sub(self, x: int, y: int) -> int:
            return x - y

    assert list(Wider().operations) == ["add", "math.double", "count", "sub"]


def test_an_overriding_method_is_the_operation_though_it_is_not_marked() -> None:
    class Loud(MathAgent):
        def add(self, x: int, y: int, z: int = 100) -> int:
            """Add three."""
            return x + y + z

        async def double(self, x: int) -> int:
            return 20 * x

    agent = Loud()
    assert call(agent, "add", 1, 2) == 103
    assert agent.operations["add"].description == "Add three."
    assert call(agent, "math.double", 1) == 20


def test_an_overriding_mark_counts_instead_of_the_first() -> None:
    class Renamed(MathAgent):
        @operation(name="plus")
        def add(self, x: int, y: int) -> int:
            return x + y

    assert "plus" in Renamed().operations
    assert "add" not in Renamed().operations


def test_a_subclass_can_take_an_operation_away() -> None:
    class Shy(MathAgent):
        add = None

    assert list(Shy().operations) == ["math.double", "count"]


def test_operations_of_several_bases_come_together() -> None:
    class Words(Agent):
        @operation
        def upper(self, text: str) -> str:
            return text.upper()

    class Both(MathAgent, Words):
        pass

    assert set(Both().operations) == {"add", "math.double", "count", "upper"}


def test_static_and_class_methods_can_be_operations_whichever_decorator_is_first() -> None:
    class Tools(Agent):
        @staticmethod
        @operation
        def one() -> int:
            return 1

        @operation
        @staticmethod
        def two() -> int:
            return 2

        @classmethod
        @operation
        def three(cls) -> str:
            return cls.__name__

    assert [call(Tools(), name) for name in ("one", "two", "three")] == [1, 2, "Tools"]


def test_looking_for_operations_runs_no_property() -> None:
    class Careful(MathAgent):
        @property
        def expensive(self) -> None:
            raise AssertionError

    assert "add" in Careful().operations


def test_two_operations_of_one_name_are_refused() -> None:
    class Twice(Agent):
        @operation(name="a")
        def first(self) -> None: ...

        @operation(name="a")
        def second(self) -> None: ...

    with pytest.raises(LocalProtocolError, match="two operations are called a"):
        _ = Twice().operations


@pytest.mark.parametrize("name", [DESCRIBE, PING])
def test_what_every_agent_has_cannot_be_offered_again(name: str) -> None:
    agent = Agent.from_operations([operation_from(lambda: 1, name=name)])
    with pytest.raises(LocalProtocolError, match=f"two operations are called {re.escape(name)}"):
        _ = agent.operations


@pytest.mark.parametrize("name", ["find", "describe", "run", "operations", "on_message"])
def test_an_operation_cannot_take_the_place_of_a_method_the_host_needs(name: str) -> None:
    def marked(self: Agent) -> None: ...

    with pytest.raises(LocalProtocolError, match=rf'Bad\.{name}: .*mark it @operation\(name="{name}"\)$'):
        type("Bad", (Agent,), {name: operation(marked)})


def test_such_a_name_can_be_given_to_another_method() -> None:
    class Search(Agent):
        @operation(name="find")
        def find_it(self, text: str) -> str:
            return text

    assert call(Search(), "find", "a") == "a"


# Functions


def shout(text: str) -> str:
    """Say it loudly."""
    return text.upper()


@operation(name="say.softly")
def whisper(text: str) -> str:
    return text.lower()


def test_functions_are_operations_of_their_own_name_or_of_their_mark() -> None:
    agent = Agent.from_functions([shout, whisper], description="Say things.")
    assert list(agent.operations) == ["shout", "say.softly"]
    assert call(agent, "shout", "a") == "A"
    assert agent.describe()["description"] == "Say things."


def test_a_bound_method_keeps_its_mark_among_functions() -> None:
    agent = Agent.from_functions([MathAgent().add, MathAgent().double])
    assert list(agent.operations) == ["add", "math.double"]
    assert call(agent, "math.double", 4) == 8


def test_a_subclass_can_be_given_functions_beside_its_methods() -> None:
    agent = MathAgent.from_functions([shout])
    assert list(agent.operations) == ["add", "math.double", "count", "shout"]


def test_two_functions_of_one_name_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match="two operations are called shout"):
        _ = Agent.from_functions([shout, shout]).operations


# Finding


def test_an_unknown_operation_is_told_with_what_there_is_and_the_nearest() -> None:
    with pytest.raises(RemoteError, match=r"^Method not found: ad$") as caught:
        MathAgent().find("ad")
    assert caught.value.code == METHOD_NOT_FOUND
    assert caught.value.data == {"operations": ["add", "math.double", "count"], "nearest": "add"}


def test_a_name_like_nothing_here_has_no_nearest() -> None:
    with pytest.raises(RemoteError) as caught:
        MathAgent().find("x" * 100_000)
    assert caught.value.data["nearest"] is None
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("name", ["not_offered", "__init__", "_extra", "run", ""])
def test_nothing_but_operations_is_reachable(name: str) -> None:
    with pytest.raises(RemoteError, match=r"^Method not found"):
        MathAgent().find(name)


# Describing


def test_an_agent_describes_itself() -> None:
    told = call(MathAgent(), DESCRIBE)
    assert told["description"] == "Do sums."
    assert told["capabilities"] == ["fame.capability.math"]
    assert [(each["name"], each["streaming"]) for each in told["operations"]] == [
        ("add", False),
        ("math.double", False),
        ("count", True),
    ]
    assert told["operations"][1]["description"] == "Twice it."
    assert told["operations"][0]["schema"]["required"] == ["x", "y"]
    json.dumps(told)


def test_describing_takes_no_arguments() -> None:
    with pytest.raises(RemoteError, match=r"agent\.describe has no parameter x"):
        call(MathAgent(), DESCRIBE, x=1)


def test_every_agent_answers_a_ping_with_null() -> None:
    assert call(MathAgent(), PING) is None
    with pytest.raises(RemoteError, match=r"agent\.ping has no parameter x"):
        call(MathAgent(), PING, x=1)


def test_what_every_agent_has_is_not_among_its_own_operations() -> None:
    assert not {DESCRIBE, PING} & MathAgent().operations.keys()


def test_an_operation_may_be_called_ping() -> None:
    class Chatty(Agent):
        @operation
        def ping(self) -> str:
            return "pong"

    assert (call(Chatty(), "ping"), call(Chatty(), PING)) == ("pong", None)


def test_a_description_can_be_given_in_place_of_the_docstring() -> None:
    agent = MathAgent()
    agent.describe_as("Sums of any size.")
    assert agent.describe()["description"] == "Sums of any size."


def test_an_agent_without_words_is_described_without() -> None:
    assert Agent.from_functions([shout]).describe()["description"] == ""


def test_what_is_called_around_an_agents_life_does_nothing_by_itself() -> None:
    async def main() -> None:
        agent = Agent()
        await agent.on_start()
        await agent.on_stop()

    asyncio.run(main())


def test_an_agent_without_a_method_for_messages_takes_none() -> None:
    with pytest.raises(RemoteError, match="this agent takes no messages") as raised:
        asyncio.run(Agent().on_message({"any": "thing"}))
    assert raised.value.code == METHOD_NOT_FOUND


def test_a_decorator_around_a_marked_method_keeps_it_an_operation() -> None:
    def twice(function):
        @functools.wraps(function)
        def outer(*args, **arguments):
            return 2 * function(*args, **arguments)

        return outer

    class Doubled(Agent):
        @twice
        @operation
        def one(self, x: int) -> int:
            """Give it back."""
            return x

    assert Doubled().operations["one"].invoke([], {"x": 3}) == 6


def test_an_agent_without_a_docstring_of_its_own_has_no_description() -> None:
    class Bare(Agent):
        pass

    assert Bare().describe()["description"] == ""


def test_capabilities_in_one_text_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match=r"write capabilities = \('math',\)"):
        type("Wrong", (Agent,), {"capabilities": "math"})


def test_what_an_agent_offers_beside_its_class_is_described_too() -> None:
    class Sums(Agent):
        capabilities = ("a.sum",)

    agent = Sums()
    agent.offer(["a.sum", "a.more"])
    assert agent.describe()["capabilities"] == ["a.sum", "a.more"]
