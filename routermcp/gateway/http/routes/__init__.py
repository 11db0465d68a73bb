"""The routes of the gateway beside its MCP endpoints."""
