"""The parts of the session machine: what the client and the server share, and what only one needs.

Theory of operation
-------------------
A session is a machine that turns messages into events and calls into messages. It exists on two
levels, and the upper one is made of the lower one:

* *Messages* (:mod:`.base`): ``receive_message`` takes the bytes of one message and returns the
  events that follow from it; ``start_request`` and similar methods return the bytes of one message.
  Streamable HTTP uses this level, because there every message travels in an exchange of its own.
* *Lines* (:mod:`.lines`): for transports that carry all messages on one stream (stdio, sockets, a
  WebSocket of yours), ``receive_data`` splits lines and feeds the same method, and ``data_to_send``
  returns the bytes to send.

All input passes ``receive_message``, which has one handler for each kind of message. A bad message
costs that message; a line that is too long costs the connection. Nothing here waits or reads a clock.

The two roles, :mod:`routermcp_proto.client_session` and :mod:`routermcp_proto.server_session`, build
on both levels. The client's uses :mod:`.handshake`, :mod:`.request_meta`, :mod:`.list_pages` and
:mod:`.tool_facts` too.
"""
