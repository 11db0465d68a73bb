"""What clients see: the entries of a server, and the servers and entries of a project or of an API key."""

from __future__ import annotations

from functools import cached_property

from .filters import Filter
from .types import Alias, ConfigModel, Texts


class EntrySettings(ConfigModel):
    """Which tools, resources and prompts are let through, by name or URI."""

    allowedTools: Texts = ()
    denyTools: Texts = ()
    allowedToolsGlob: Texts = ()
    denyToolsGlob: Texts = ()
    allowedResources: Texts = ()
    denyResources: Texts = ()
    allowedResourcesGlob: Texts = ()
    denyResourcesGlob: Texts = ()
    allowedPrompts: Texts = ()
    denyPrompts: Texts = ()
    allowedPromptsGlob: Texts = ()
    denyPromptsGlob: Texts = ()

    @cached_property
    def tools(self) -> Filter:
        """Which tools are let through."""
        return Filter(self.allowedTools, self.denyTools, self.allowedToolsGlob, self.denyToolsGlob)

    @cached_property
    def resources(self) -> Filter:
        """Which resources are let through, by URI."""
        return Filter(
            self.allowedResources, self.denyResources, self.allowedResourcesGlob, self.denyResourcesGlob
        )

    @cached_property
    def prompts(self) -> Filter:
        """Which prompts are let through."""
        return Filter(self.allowedPrompts, self.denyPrompts, self.allowedPromptsGlob, self.denyPromptsGlob)


class ViewSettings(EntrySettings):
    """A part of the gateway; tools and prompts are named ``{alias}.{name at the server}`` in it."""

    servers: tuple[Alias, ...] | None = None
    """Aliases of the servers in it, None for all of them."""

    @property
    def limited(self) -> bool:
        """Whether it is less than the whole gateway."""
        return any(getattr(self, name) not in (None, ()) for name in ViewSettings.model_fields)


class ProjectSettings(ViewSettings):
    """A project: what is seen at ``/v1/mcp/{project}``."""
