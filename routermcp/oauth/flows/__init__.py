"""The OAuth flows of a client's users: sign-in, renewal, revocation.

Read :mod:`.storage`, :mod:`.resource`, :mod:`.user_grant` (the record of one user),
:mod:`.transaction` (load, lock, change and write it), :mod:`.user_authenticator`, :mod:`.users`,
:mod:`.polling`, :mod:`.connections`, :mod:`.gateway_connections`.
"""
