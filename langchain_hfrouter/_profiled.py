"""The part of the chat model that knows models: their list, and the profile that follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import model_validator

from langchain_hfrouter._base import RouterConnection

if TYPE_CHECKING:
    from langchain_core.language_models.model_profile import ModelProfile

    from shared_core import RouterModel


class Profiled(RouterConnection):
    """A model of the router whose profile is looked up, and stays that of its model."""

    model: str
    """Hub id, maybe with a suffix: ``"org/name"``, ``"org/name:groq"``, ``"org/name:cheapest"``."""

    provider: str | None = None
    """Serving provider, e.g. ``"groq"``: the same as a suffix. Exclusive with ``policy``."""

    if TYPE_CHECKING:
        profile: ModelProfile | None = None
        """What the model can do; LangChain's field."""

    @model_validator(mode="before")
    @classmethod
    def _drop_stale_profile(cls, values: Any) -> Any:
        """Leave out what LangChain copies from another model, e.g. for configurable fields."""
        if isinstance(values, Mapping) and "profile" in values:
            from langchain_hfrouter import _profiles

            route = (values.get("model"), values.get("provider"))
            if _profiles.is_stale(values["profile"], *route):
                return {name: value for name, value in values.items() if name != "profile"}
        return values

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in ("model", "provider"):
            self._renew_profile()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; connections are shared unless *update* concerns them.

        Args:
            update: Field values of the copy, not validated. A profile that was looked up
                follows the model.
            deep: Whether to copy values too.

        Raises:
            InvalidSettingError: *update* names a field that does not exist.
        """
        copied = super().model_copy(update=update, deep=deep)
        if (copied.model, copied.provider) != (self.model, self.provider):
            copied._renew_profile()
        return copied

    def _renew_profile(self) -> None:
        from langchain_hfrouter import _profiles

        if self.profile is None or _profiles.is_stale(self.profile, self.model, self.provider):
            self.profile = self._resolve_model_profile()

    def list_models(self) -> list[RouterModel]:
        """Return the chat models at ``base_url``: on the router all, with their providers.

        Raises:
            APIError: The list could not be read.
        """
        from langchain_hfrouter._errors import dual_errors

        with dual_errors:
            return self.sync_client().models.list()

    async def alist_models(self) -> list[RouterModel]:
        """Return the chat models at ``base_url``: on the router all, with their providers.

        Raises:
            APIError: The list could not be read.
        """
        from langchain_hfrouter._errors import dual_errors

        with dual_errors:
            return await self.async_client().models.list()

    def _resolve_model_profile(self) -> ModelProfile | None:
        from langchain_hfrouter import _profiles

        found = _profiles.snapshot(self.model, self.provider)
        return _profiles.derived(found, self.model, self.provider)

    def _keep_profile(self, found: ModelProfile) -> ModelProfile | None:
        from langchain_hfrouter import _profiles

        self.profile = _profiles.derived(found, self.model, self.provider)
        return self.profile

    def refresh_profile(self) -> ModelProfile | None:
        """Read the profile from the router's model list (one request) and keep it.

        Returns:
            The profile of the model at its provider, or of what all providers have in common.

        Raises:
            APIError: The list could not be read, or does not know the model.
        """
        from langchain_hfrouter import _profiles
        from langchain_hfrouter._errors import dual_errors

        with dual_errors:
            entry = self.sync_client().models.get(_profiles.model_id(self.model))
        return self._keep_profile(_profiles.of_entry(entry, self.model, self.provider))

    async def arefresh_profile(self) -> ModelProfile | None:
        """Read the profile from the router's model list (one request) and keep it.

        Returns:
            See :meth:`refresh_profile`.

        Raises:
            APIError: The list could not be read, or does not know the model.
        """
        from langchain_hfrouter import _profiles
        from langchain_hfrouter._errors import dual_errors

        with dual_errors:
            entry = await self.async_client().models.get(_profiles.model_id(self.model))
        return self._keep_profile(_profiles.of_entry(entry, self.model, self.provider))
