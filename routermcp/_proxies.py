"""Find the proxy of a server in the environment."""

from __future__ import annotations

import ipaddress
import os

from routermcp_proto.http.url import EndpointURL


def proxy_for(endpoint: EndpointURL, given: str | None) -> str | None:
    """Return the URL of the proxy to go through, None for none.

    Args:
        endpoint: Where the server is.
        given: The option of the client: a URL, "" for never, None for what ``HTTP_PROXY``,
            ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` say. Those never apply to this
            machine itself, which no proxy could reach.
    """
    if given is not None:
        return given or None
    if not any(name.lower().endswith("_proxy") for name in os.environ) or _is_here(endpoint):
        return None
    import urllib.request  # noqa: PLC0415 - takes long, and few have a proxy

    proxies = urllib.request.getproxies_environment()
    if urllib.request.proxy_bypass(f"{endpoint.host}:{endpoint.port}"):
        return None
    proxy = proxies.get(endpoint.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy or None


def _is_here(endpoint: EndpointURL) -> bool:
    if endpoint.unix or endpoint.host == "localhost" or endpoint.host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(endpoint.host).is_loopback
    except ValueError:
        return False
