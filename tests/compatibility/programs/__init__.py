"""The same short programs with each of the three clients, as docs/closed-issues.md shows them.

A module is called like the package it uses, and is imported only where that is installed.
"""
