"""Programs with fastmcp."""

import base64

from fastmcp import Client


async def call_a_tool(url):
    async with Client(url) as client:
        result = await client.call_tool("add", {"a": 1, "b": 2})
        return result.content[0].text


async def call_a_slow_tool(url):
    async def show(progress, total, message):
        """Draw a bar, or whatever shows it."""

    async with Client(url) as client:
        result = await client.call_tool("add", {"a": 1, "b": 2}, timeout=1, progress_handler=show)
        return result.content[0].text


async def list_tools(url):
    async with Client(url) as client:
        return [tool.name for tool in await client.list_tools()]


async def read_a_resource(url):
    async with Client(url) as client:
        contents = await client.read_resource("file:///a")
        return base64.b64decode(contents[0].blob)


async def enter_twice(url):
    client = Client(url)
    async with client, client:
        result = await client.call_tool("add", {"a": 1, "b": 2})
        return result.content[0].text
