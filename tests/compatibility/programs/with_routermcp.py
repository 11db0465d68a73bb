"""Programs with routermcp."""

from routermcp import RouterMCPClient


async def call_a_tool(url):
    async with RouterMCPClient(url) as client:
        result = await client.call_tool("add", {"a": 1, "b": 2})
        return result.text


async def call_a_slow_tool(url):
    def show(progress):
        """Draw a bar, or whatever shows it."""

    async with RouterMCPClient(url, timeout=1000, reset_on_progress=True) as client:
        result = await client.call_tool("add", {"a": 1, "b": 2}, on_progress=show)
        return result.text


async def list_tools(url):
    async with RouterMCPClient(url) as client:
        return [tool.name for tool in await client.list_tools()]


async def read_a_resource(url):
    async with RouterMCPClient(url) as client:
        result = await client.read_resource("file:///a")
        return result.contents[0].data


async def enter_twice(url):
    client = RouterMCPClient(url)
    async with client, client:
        result = await client.call_tool("add", {"a": 1, "b": 2})
        return result.text
