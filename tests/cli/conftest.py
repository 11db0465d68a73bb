"""What tests of the command line share with those of the client, and with each other."""

from tests.cli.toolbox import _server, ctrl_c, home, toolbox, url
from tests.routermcp.conftest import _no_settings_from_outside, logger

__all__ = ["_no_settings_from_outside", "_server", "ctrl_c", "home", "logger", "toolbox", "url"]
