"""Sessions over one stream that all calls share: stdio, and custom transports.

Read :mod:`.base` (what a custom transport implements), :mod:`.stdio` with :mod:`.child_process`,
:mod:`.pipes` and :mod:`.windows`, :mod:`.multiplexer`, then :mod:`.session`.
"""
