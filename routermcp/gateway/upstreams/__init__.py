"""The servers behind the gateway and the requests that are forwarded to them.

Read :mod:`.targets` (how a server is reached), :mod:`.session` (one session there),
:mod:`.callbacks` and :mod:`.input_required` (requests and the questions that come back),
:mod:`.changes` and :mod:`.session_lists`, :mod:`.availability`, then :mod:`.upstream`.
"""
