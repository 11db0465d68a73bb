"""Signing in at a protected server, as pure policy.

Every flow is a generator: it yields the HTTP requests to be made (:mod:`.steps`), is sent the
answers, and returns what it found. Entropy and time are arguments, signatures are made by whoever
brings the keys; so the same text serves asyncio, trio, blocking code and tests without a socket.

Read :mod:`.challenges` (what a server says when it refuses), :mod:`.metadata` and :mod:`.discovery`
(where to sign in), :mod:`.client_auth` (who asks), :mod:`.client` (what the application wants),
:mod:`.code_grant` (the user's consent), :mod:`.device_grant` (the same on another
device), :mod:`.tokens`, :mod:`.sign_in`, then :mod:`.authorizer`, which puts them together.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization
"""
