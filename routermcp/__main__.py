"""``python -m routermcp``: the command line."""

from __future__ import annotations

import sys

from routermcp_cli import main

sys.exit(main())
