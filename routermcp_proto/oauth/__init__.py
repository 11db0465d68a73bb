"""Signing in at a protected server, as pure policy.

Every flow is a generator: it yields the HTTP requests to be made (:mod:`.steps`), is sent the
answers, and returns its result. Entropy and time are arguments, and an argument holds the keys and
signs; so the same text serves asyncio, trio, blocking code and tests without a socket.

Read :mod:`.challenges` (the reasons of a refusal), :mod:`.metadata` and :mod:`.discovery` (the
authorization server), :mod:`.client_auth` (the client and its authentication), :mod:`.client` (the
application's settings), :mod:`.code_grant` (consent in a browser), :mod:`.device_grant` (consent on
another device), :mod:`.tokens`, :mod:`.sign_in`, then :mod:`.authorizer`, which puts them together.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization
"""
