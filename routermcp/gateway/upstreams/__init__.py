"""The servers behind the gateway and the requests that are forwarded to them.

Read :mod:`.targets` (how a server is reached), :mod:`.session` (one session there),
:mod:`.forwarding`, :mod:`.callbacks` and :mod:`.request_state` (requests and the questions that
come back), :mod:`.changes`, then :mod:`.upstream`.
"""
