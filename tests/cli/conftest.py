"""What tests of the command line share with those of the client."""

from tests.routermcp.conftest import _no_settings_from_outside, logger

__all__ = ["_no_settings_from_outside", "logger"]
