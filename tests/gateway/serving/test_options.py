"""The settings of ``serve`` in the environment, as its workers and other ASGI servers read them."""

from __future__ import annotations

import pytest

from routermcp.gateway.config.model import GatewayConfig
from routermcp.gateway.serving.options import ServeOptions
from routermcp.types import ConfigError


@pytest.mark.parametrize(
    "options",
    [
        ServeOptions(),
        ServeOptions("0.0.0.0", 0, "json", portable_names=True, debug=True),
        ServeOptions("::1", 65535, "text"),
    ],
)
def test_workers_read_what_was_typed(options: ServeOptions) -> None:
    assert ServeOptions.from_environment(options.variables()) == options


@pytest.mark.parametrize(
    ("variables", "config"),
    [
        ({"ROUTERMCP_PORTABLE_NAMES": "1"}, {"names": "portable"}),
        ({"ROUTERMCP_PORTABLE_NAMES": "on", "ROUTERMCP_HOST": "::1"}, {"names": "portable", "host": "::1"}),
        ({"ROUTERMCP_PORTABLE_NAMES": "false", "ROUTERMCP_PORT": ""}, {}),
        ({"ROUTERMCP_PORT": "80", "ROUTERMCP_LOG_FORMAT": "json"}, {"port": 80, "format": "json"}),
        ({"ROUTERMCP_PORT": "tcp://10.96.0.7:5151", "ROUTERMCP_SERVICE_HOST": "10.96.0.7"}, {}),
    ],
)
def test_variables_go_before_the_configuration(variables: dict[str, str], config: dict[str, object]) -> None:
    """Those of a service of Kubernetes, and empty ones, say nothing."""
    taken = ServeOptions.from_environment(variables).applied_to(GatewayConfig())
    listening = {key: config[key] for key in ("host", "port") if key in config}
    expected = GatewayConfig.model_validate(
        {
            "httpServer": listening,
            "log": {"format": config.get("format", "text")},
            "names": config.get("names", {}),
        }
    )
    assert (taken.httpServer, taken.log, taken.names) == (expected.httpServer, expected.log, expected.names)


def test_a_wrong_one_is_told_by_name() -> None:
    with pytest.raises(ConfigError, match=r"ROUTERMCP_\*: port: expected a whole number"):
        ServeOptions.from_environment({"ROUTERMCP_PORT": "http"})
    with pytest.raises(ConfigError, match="port"):
        ServeOptions(port=70_000).applied_to(GatewayConfig())
