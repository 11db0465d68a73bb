"""Signing in, and where the tokens of users are kept."""

from __future__ import annotations

from .config import OAuthConfig
from .store import AdapterLock, Record, TokenAdapter

__all__ = ["AdapterLock", "OAuthConfig", "Record", "TokenAdapter"]
