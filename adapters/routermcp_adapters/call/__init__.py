"""One call of a client, from its request to its one outcome.

Read :mod:`.deadline`, :mod:`.transport` (what the driver needs of a session's transport),
:mod:`.incoming` (what the server sends while a call waits), then :mod:`.driver`.
"""
