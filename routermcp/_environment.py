"""What others write into the variables of this program."""

from __future__ import annotations


def is_service_link(value: str) -> bool:
    """Return whether Kubernetes set a variable, as ``ROUTERMCP_PORT=tcp://10.0.0.1:5151``: it is no setting.

    It does so in every pod beside a service named "routermcp".

    Source: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
    """
    return value.startswith("tcp://")
