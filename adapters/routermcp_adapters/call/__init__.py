"""One call of a client, from its request to its one outcome.

Read :mod:`.deadline`, :mod:`.transport` (what the driver needs of a session's transport), :mod:`.lifetime`
(when the session is open), :mod:`.incoming` (what the server sends while a call waits), :mod:`.refusals`
(what its answer means that is no result), then :mod:`.driver`.
"""
