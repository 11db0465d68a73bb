"""The times that the OAuth flows keep to."""

from __future__ import annotations

from dataclasses import dataclass

#: Seconds between two looks at whether a user has signed in elsewhere.
SIGN_IN_POLL_SECONDS = 0.5


@dataclass(slots=True)
class FlowTimes:
    """Times of the flows of one configuration.

    Attributes:
        read_again_seconds: Age at which a record in constant use is read again, to learn what
            another process has done with it, such as revoked the tokens.
        patience_seconds: How long the call that renews tokens waits for that while they are still
            good; other calls do not wait. A healthy authorization server takes a part of it.
        try_again_seconds: Pause between two attempts to renew tokens that are still good.
        write_pause_seconds: Pause before a record is written a second time; it doubles each time.
        sign_in_poll_seconds: Pause between two looks at whether a user has signed in elsewhere.
        lease_renew_fraction: The part of a lease after which it is renewed: one attempt may fail,
            and there is time for another.
    """

    read_again_seconds: float = 60.0
    patience_seconds: float = 1.0
    try_again_seconds: float = 5.0
    write_pause_seconds: float = 0.1
    sign_in_poll_seconds: float = SIGN_IN_POLL_SECONDS
    lease_renew_fraction: float = 1 / 3
