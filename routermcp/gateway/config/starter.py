"""The configuration that ``routermcp config`` writes."""

from __future__ import annotations

import json

_TEXT = """\
// The configuration of the routermcp gateway. Comments and trailing commas are fine.
// Values may hold ${env:NAME} or ${NAME}, a variable of the environment; $${ is a plain ${.
{
  // Where the gateway listens.
  "httpServer": { "host": "127.0.0.1", "port": 5151 },

  // Seconds after which an unused session is forgotten, and the most sessions at once.
  "session": { "timeout": 300, "max_sessions": 25 },

  // Access to the gateway. With keys, clients send "Authorization: Bearer <key>".
  // "auth": { "mode": "api_key", "apiKeys": ["${env:ROUTERMCP_API_KEY}"] },

  // Where the tokens of users are kept, for servers that they sign in at ("authType": "oauth").
  // "oauth": { "store": "file:", "redirectUri": "https://app.example/oauth/back" },

  // How much one client may ask for.
  // "rateLimit": { "requests": 100, "seconds": 60 },

  // Names of tools that every host takes, <alias>__<tool>: letters, digits, _ and -, at most 64.
  // Without this they are called <alias>.<tool>.
  "names": "portable",

  // The servers, by alias. Their tools are called <alias>__<tool>, for example demo__add.
  "mcpServers": {
    // A process on this machine, spoken to over its standard streams: tools to try the gateway with.
    "demo": { "command": PYTHON, "args": ["-m", "routermcp.gateway.builtin"] },

    // Another one, which uv (https://docs.astral.sh/uv) loads when it is started.
    "time": {
      "enabled": false, // install uv, then take this line away
      "command": "uvx",
      "args": ["mcp-server-time"],
      // "env": { "NAME": "value" },
      // "cwd": "/srv/somewhere",
      // "timeout": 60000, // milliseconds for one request
    },

    // A server over Streamable HTTP.
    "github": {
      "enabled": false, // set the variable GITHUB_TOKEN, then take this line away
      "url": "https://api.githubcopilot.com/mcp/",
      "authType": "bearer",
      "authBearer": "${env:GITHUB_TOKEN}",
      // The entries that are let through. Denied goes before allowed; the same keys exist for
      // Resources and Prompts. Globs: * (no /), **, ?, [abc], [!abc].
      "denyTools": ["delete_file"],
      "allowedToolsGlob": ["get_*", "list_*", "search_*"],
    },
  },
}
"""


def starter(python: str) -> str:
    """Return the text, in which the first server is one that every machine has.

    Args:
        python: The interpreter that runs that server.
    """
    return _TEXT.replace("PYTHON", json.dumps(python))
