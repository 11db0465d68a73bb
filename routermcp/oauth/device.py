"""Signing in on another device, from a program that has no browser (RFC 8628)."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from routermcp_adapters.runtime import Runtime
from routermcp_proto.oauth.steps import UserCode as UserCode  # noqa: PLC0414 - what show= is given

from ._urls import checked_page
from .browser import on_standard_error, suspicion_of

T = TypeVar("T")

ShowsCode = Callable[[UserCode], "object | Awaitable[object]"]
"""Shows a user the code and the page where it is to be entered, and returns."""


class DeviceCode:
    """Has users sign in by a code that they enter on any device.

    Args:
        show: Shows the code; default on standard error.
    """

    def __init__(self, show: ShowsCode | None = None) -> None:
        self.show = show or show_code

    def __repr__(self) -> str:
        return "<device_code>"


def show_code(code: UserCode, show: Callable[[str], object] = on_standard_error) -> None:
    """Show a user a code, and where to enter it.

    Args:
        code: The code and the page.
        show: Shows a line to the user.

    Raises:
        OAuthError: It is no page.
    """
    page = checked_page(code.verification_uri, "the server")
    show(f"To sign in, open this page on any device:\n\n  {page}\n\nand enter the code {code.user_code}\n")
    if code.verification_uri_complete is not None:
        whole = checked_page(code.verification_uri_complete, "the server")
        show(f"Or open this one, and see that it shows the same code:\n\n  {whole}\n")
    warning = suspicion_of(page)
    if warning:
        show(f"Look twice before you go there: {warning}.\n")


def device_code(show: ShowsCode | None = None) -> DeviceCode:
    """Ask the user on another device, such as a phone; for ``OAuthConfig(authorize=...)``.

    For programs without a browser: on a server, in a container, on a television. The call that
    needs the user polls until they are done, or the code has ended.

    Args:
        show: Shows the user a :class:`UserCode`, and returns; may be ``async``. A plain function is
            called in a thread. Default: lines on standard error.
    """
    return DeviceCode(show)


async def called(function: Callable[..., T | Awaitable[T]], argument: Any, runtime: Runtime) -> T:
    """Call a function of the application: await an ``async`` one, run a plain one in a thread."""
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
    ):
        return await cast("Awaitable[T]", function(argument))
    return cast("T", await runtime.run_blocking(lambda: function(argument)))
