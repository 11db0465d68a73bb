"""The three runtimes: asyncio, trio and plain blocking code."""
