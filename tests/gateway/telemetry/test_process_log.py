"""The log of a process that serves: with JSON, every line of it is an object, whatever is written."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.cli.gateway_programs import PATIENCE, environment

#: Writes in each way in which a program comes to write, and ends with an error that nothing handles.
PROGRAM = """
import logging, sys, threading, warnings
from routermcp.gateway.telemetry.process_log import log_to_stderr, tell
log_to_stderr(debug=False)
tell("as text")
log_to_stderr(debug=False, as_json=True)
tell("serves\\nhere")
logging.getLogger("routermcp.gateway").warning("a %s", "warning")
logging.getLogger("uvicorn.error").critical("of uvicorn")
logging.getLogger("routermcp.gateway").info("unheard")
warnings.warn("of Python")
def fail():
    raise ValueError("nothing handles it")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""


def test_every_line_is_an_object() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    first, *others = done.stderr.splitlines()
    assert first == "routermcp: as text"
    lines = [json.loads(line) for line in others]
    assert [(each["level"], each["logger"]) for each in lines] == [
        ("INFO", "routermcp.program"),
        ("WARNING", "routermcp.gateway"),
        ("CRITICAL", "uvicorn.error"),
        ("WARNING", "py.warnings"),
        ("CRITICAL", "routermcp.program"),
        ("CRITICAL", "routermcp.program"),
    ]
    assert lines[0]["message"] == "serves\nhere"
    assert lines[1]["message"] == "a warning"
    for each in lines[-2:]:
        assert each["message"] == "nothing handles it"
        assert each["exception"].startswith("Traceback")
