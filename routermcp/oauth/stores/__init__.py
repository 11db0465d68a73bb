"""Stores of tokens: the interface that adapters implement, and the adapters."""
