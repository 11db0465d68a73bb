"""The commands of the gateway: ``serve`` and ``status``."""
