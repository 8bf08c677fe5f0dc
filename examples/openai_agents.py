"""An agent of the OpenAI Agents SDK: sessions in agentmem, and a tool that searches all of them.

Set OPENAI_API_KEY, or OPENAI_BASE_URL for another server with the Responses API.
"""

import asyncio
import os

from agents import Agent, Runner, function_tool, set_tracing_disabled

from agentmem import Memory
from agentmem.integrations.openai_agents import AgentMemSession

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")


async def main(memory: Memory) -> None:
    """Tell the agent something in one session, and ask for it in another."""
    ana = memory.scoped(user_id="ana")

    @function_tool
    def search_memory(query: str) -> str:
        """Search what the user said in earlier conversations."""
        found = ana.recall(query, k=5, where={"asked": {"exists": False}})  # no earlier questions
        return found.pack(max_tokens=400).to_text() or "Nothing found."

    agent = Agent(
        name="helper",
        instructions="Search your memory before you answer.",
        model=MODEL,
        tools=[search_memory],
    )
    lines = ("My sister Marta lives in Porto.", "Where does my sister Marta live?")
    for session_id, text in zip(("monday", "friday"), lines, strict=True):
        result = await Runner.run(agent, text, session=AgentMemSession(session_id, ana))
        print("ana:", text)
        print("bot:", result.final_output)


if __name__ == "__main__":
    set_tracing_disabled(True)
    with Memory(":memory:") as memory:  # a folder in place of ":memory:" keeps it
        asyncio.run(main(memory))
