"""Programs with mcp."""

import base64

from mcp import Client


async def call_a_tool(url):
    async with Client(url) as client:
        result = await client.call_tool("add", {"a": 1, "b": 2})
        return result.content[0].text


async def call_a_slow_tool(url):
    async def show(progress, total, message):
        """Draw a bar, or whatever shows it."""

    async with Client(url) as client:
        options = {"read_timeout_seconds": 1, "progress_callback": show}
        result = await client.call_tool("add", {"a": 1, "b": 2}, **options)
        return result.content[0].text


async def list_tools(url):
    async with Client(url) as client:
        page = await client.list_tools()
        return [tool.name for tool in page.tools]


async def read_a_resource(url):
    async with Client(url) as client:
        result = await client.read_resource("file:///a")
        return base64.b64decode(result.contents[0].blob)


async def enter_twice(url):
    client = Client(url)
    async with client, client:
        result = await client.call_tool("add", {"a": 1, "b": 2})
        return result.content[0].text
