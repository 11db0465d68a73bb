"""What a list takes: ten times its bytes at most, beside what any list may take.

``python tests/security/list_memory.py`` reads lists of several kinds, in few pages and in many, each in a
child process, whose memory is measured; ``--planted`` lets short entries be as many as long ones, to see
that it is found.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "adapters")]

from routermcp_proto import calls  # noqa: E402
from routermcp_proto.client_session import ClientSession  # noqa: E402
from routermcp_proto.events import ResponseReceived  # noqa: E402
from routermcp_proto.types import reading  # noqa: E402
from tests.proto.pair import Pair  # noqa: E402

#: Bytes of memory for each byte of a list.
PER_BYTE = 10

#: Bytes beside them: what any list may take, which is less here, and the page itself.
BESIDE = 6 * 1024 * 1024
FREE_FOR_LIST = 2 * 1024 * 1024

#: Bytes of a list.
SIZE = 1024 * 1024

#: Seconds and bytes at which a child is ended. A page takes less than one, and much less.
PATIENCE = 60
AT_LAST = 4 * 1024**3

#: As short as a part can be whose text is decoded within the bound.
ICON = '{"src":"","theme":"","x":0}'
KINDS: dict[str, tuple[calls.Call[Any], str]] = {
    "shortest": (calls.list_tools(), '{"name":"a name","title":""}'),
    "tools of 60 bytes": (
        calls.list_tools(),
        '{"name":"a name","inputSchema":{"type":"object"},"title":"b"}',
    ),
    "tools of 400 bytes": (
        calls.list_tools(),
        '{"name":"a name","description":"%s","inputSchema":{"properties":{"a":{"type":"string"}}}}'
        % ("x" * 320),
    ),
    "resources of 100 bytes": (calls.list_resources(), '{"uri":"file:///%s","name":"a"}' % ("x" * 70)),
    "many icons": (calls.list_tools(), '{{"name":"a","icons":[{}]}}'.format(",".join([ICON] * 500))),
    "many arguments": (
        calls.list_prompts(),
        '{{"name":"a","arguments":[{}]}}'.format(",".join(['{"name":"a","title":"","x":0}'] * 500)),
    ),
    "many hints": (
        calls.list_resources(),
        f'{{"uri":"a:b","name":"a","annotations":{{"x":1}},"icons":[{ICON}]}}',
    ),
    "many arrays": (calls.list_tools(), '{{"name":"a","x":[{}]}}'.format(",".join(["[]"] * 300))),
}


def virtual(line: str) -> int:
    """Return a line of what the system says of this process's address space, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{line}:")[2].split()[0]) * 1024


def read(session: ClientSession, call: calls.Call[Any], entry: str, pages: int) -> str:
    """Read a list of one entry, many times, and return what became of it."""
    call = call.within(session.list_budget())
    entries = ",".join([entry] * (SIZE // len(entry) // pages))
    before, most, kept = virtual("VmSize"), BESIDE, list[Any]()
    for _ in range(pages):
        outgoing = session.start_request(call)
        page = f'{{"jsonrpc":"2.0","id":{outgoing.request_id},"result":{{"{call.items}":[{entries}]}}}}'
        most += PER_BYTE * len(page)
        (event,) = session.receive_message(page.encode())
        if not isinstance(event, ResponseReceived):
            break
        kept.append(event.value)
    verdict = "read" if len(kept) == pages else "refused"
    taken = virtual("VmPeak") - before
    return verdict if taken <= most else f"{verdict} with {taken >> 20} MiB, more than {most >> 20}"


def in_child(call: calls.Call[Any], entry: str, pages: int) -> str:
    """Read a list in a child process, whose memory grows by it alone."""
    reader, writer = os.pipe()
    if not os.fork():
        said = "failed"
        # pydantic may not end where there is no memory, so that this is only what stops it.
        signal.alarm(PATIENCE)
        resource.setrlimit(resource.RLIMIT_AS, (AT_LAST, AT_LAST))
        try:
            pair = Pair("2025-11-25")
            pair.connect()
            said = read(pair.client, call, entry, pages)
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.wait()
    return said or "failed"


def main() -> None:
    """Read lists of each kind."""
    reading.FREE_FOR_LIST = FREE_FOR_LIST
    kinds = KINDS
    if "--planted" in sys.argv:
        reading.BYTES_OF_MODEL = 0
        kinds = {name: KINDS[name] for name in ("tools of 60 bytes", "many icons")}
    for name, (call, entry) in kinds.items():
        print(f"{name}: {', '.join(in_child(call, entry, pages) for pages in (4, 16))}", flush=True)


if __name__ == "__main__":
    main()
