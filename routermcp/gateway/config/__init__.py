"""The configuration file ``routermcp.jsonc``: its model, its reader and its errors."""
