"""A client of the MCP server, which runs as a process of its own: no model, and no key.

Hosts such as Claude Desktop start the same server; see docs/integrations.md for their settings.
"""

import asyncio
import os
import sys
import tempfile

from mcp import Client, StdioServerParameters


async def main(store: str) -> None:
    """Remember, recall and forget by the tools of the server."""
    options = ["-m", "agentmem", "mcp", "--store", store, "--user", "ana"]
    server = StdioServerParameters(command=sys.executable, args=options, env=dict(os.environ))
    async with Client(server) as client:
        print("tools:", ", ".join(tool.name for tool in (await client.list_tools()).tools))
        for text in ("The boiler code is 7714.", "The rent is 1,150 euros."):
            await client.call_tool("remember", {"text": text})
        found = await client.call_tool("recall", {"query": "boiler code?", "limit": 1})
        best = found.structured_content["result"][0]
        print("recalled:", best["text"])
        forgotten = await client.call_tool("forget", {"ids": [best["id"]]})
        print("forgotten:", forgotten.structured_content["memories"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(folder))
