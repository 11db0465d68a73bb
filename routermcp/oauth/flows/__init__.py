"""The OAuth flows of a client's users: sign-in, renewal, revocation.

Read :mod:`.storage`, :mod:`.resource`, :mod:`.transaction` (load, lock, change and write one
grant), :mod:`.user_grant`, :mod:`.users`, :mod:`.connections`, :mod:`.gateway_connections`.
"""
