"""What all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

#: Examples of a property in the long run.
LONG = 2000

settings.register_profile("default", deadline=None)
settings.register_profile(
    "long", max_examples=LONG, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
