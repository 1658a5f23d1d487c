"""Run one real Naylence agent with background tasks; arguments and output as `agent.py`'s, of which it is a variant.

Its task does what its payload says: {"do": "fail"}, {"do": "tell", "n": N}, {"do": "sleep", "s": S}; anything else it
gives back.
"""

import asyncio
from typing import Any

import agent  # reads the command line and the environment before the kit is imported
from naylence.agent import BackgroundTaskAgent
from naylence.agent.a2a_types import Artifact, DataPart, TaskSendParams, TextPart


class TaskAgent(BackgroundTaskAgent):
    """Work in the background, telling as it goes."""

    async def run_background_task(self, params: TaskSendParams) -> Any:
        """Do what the payload says."""
        part = params.message.parts[0]
        if isinstance(part, TextPart):
            return f"got {part.text}"
        match part.data:
            case {"do": "fail"}:
                raise ValueError("on purpose")
            case {"do": "sleep", "s": seconds}:
                await asyncio.sleep(seconds)
                return {"slept": seconds}
            case {"do": "tell", "n": count}:
                for number in range(count):
                    told = Artifact(parts=[DataPart(data={"told": number})])
                    await self.update_task_artifact(params.id, told)
        return part.data


if __name__ == "__main__":
    asyncio.run(agent.main(TaskAgent()))
