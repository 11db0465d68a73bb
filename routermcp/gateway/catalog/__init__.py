"""The tools, resources and prompts of all servers: entries, merged lists and the search over them."""
