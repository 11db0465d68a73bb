"""The commands that use a server: ``tools``, ``resources``, ``prompts``, ``server``."""
