"""``HFRouterLLM``: models that continue a text, where a provider has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from pydantic import Field

from langchain_hfrouter import _loading
from langchain_hfrouter._base import LanguageModel, RouterConnection, refuse_settings

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun

    from shared_core import Generation as CoreGeneration
    from shared_core import GenerationChunk as CoreChunk

_loading.allow("langchain_hfrouter", "llms", "HFRouterLLM")


@contextmanager
def _completion_errors() -> Iterator[None]:
    """Make errors LangChain's too; one about a model that only chats names the right class."""
    from langchain_hfrouter._errors import dual_errors
    from shared_core import APIStatusError

    try:
        with dual_errors:
            yield
    except APIStatusError as error:
        if "conversational" in (error.server_message or ""):
            error.guidance = "This model only chats there: use ChatHFRouter(model=...)."
        raise


# Fields that are parameters of text-generation -> their names there.
_SAMPLING = {
    "max_tokens": "max_new_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop",
    "seed": "seed",
    "repetition_penalty": "repetition_penalty",
    "frequency_penalty": "frequency_penalty",
}
_ALIASES = {"model_name": "model", "max_new_tokens": "max_tokens", "stop_sequences": "stop"}


class HFRouterLLM(LanguageModel, BaseLLM):
    """Continues a text: not a conversation, for which there is ``ChatHFRouter``.

    Example:
        >>> llm = HFRouterLLM(model="org/base-model", provider="featherless-ai", max_tokens=20)
        >>> llm.invoke("Once upon a")  # doctest: +SKIP

    Most models of the router only chat. Text completion is served by some providers
    (``provider="together"``, ``"featherless-ai"`` ...), by TGI, and by any server with
    ``/v1/completions``, given by ``base_url="http://host/v1"``. Whoever does not serve it is
    refused by name before anything is sent. Only what is set is sent.
    """

    model: str | None = None
    """Hub id, maybe with a provider as suffix. A server of one's own may need none."""

    provider: str | None = None
    """Who serves the model; hf-inference by default."""

    provider_id: str | None = None
    """The provider's own id of the model: saves looking it up."""

    max_tokens: int | None = None
    """Most tokens to write."""

    temperature: float | None = None
    """Sampling temperature."""

    top_p: float | None = None
    """Nucleus sampling."""

    top_k: int | None = None
    """How many tokens to choose from."""

    stop: list[str] | str | None = None
    """Texts at which the continuation ends."""

    seed: int | None = None
    """For repeatable sampling, best effort."""

    repetition_penalty: float | None = None
    """Above 0; 1 is none."""

    frequency_penalty: float | None = None
    """-2 to 2."""

    extra_body: dict[str, Any] | None = None
    """Further fields of the request body; they win over all others."""

    concurrency: int = Field(default=8, ge=1)
    """Requests at once when several prompts are awaited."""

    keyword_aliases: ClassVar[dict[str, str]] = {
        **RouterConnection.keyword_aliases,
        **_ALIASES,
        "repo_id": "model",
        "model_kwargs": "extra_body",
    }

    @property
    def _llm_type(self) -> str:
        return "hfrouter-llm"

    # --- calls

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        with _completion_errors():
            params = self._call(stop, kwargs)
            tasks = self.sync_client().tasks
            found = [tasks.text_generation(prompt, **params) for prompt in prompts]
        return _result(found, params.get("model"))

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        with _completion_errors():
            params = self._call(stop, kwargs)
            tasks = self.async_client().tasks
            turn = asyncio.Semaphore(self.concurrency)

            async def one(prompt: str) -> CoreGeneration:
                async with turn:
                    return await tasks.text_generation(prompt, **params)

            running = [asyncio.ensure_future(one(prompt)) for prompt in prompts]
            try:
                found = await asyncio.gather(*running)
            finally:  # the first error, or a cancellation, ends the others
                for task in running:
                    task.cancel()
        return _result(found, params.get("model"))

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        with _completion_errors():
            params = self._call(stop, kwargs)
            with self.sync_client().tasks.text_generation_stream(prompt, **params) as stream:
                for found in stream:
                    chunk = _chunk(found)
                    if run_manager is not None:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        with _completion_errors():
            params = self._call(stop, kwargs)
            opening = self.async_client().tasks.text_generation_stream(prompt, **params)
            async with opening as stream:
                async for found in stream:
                    chunk = _chunk(found)
                    if run_manager is not None:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    def _call(self, stop: list[str] | None, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the core's parameters; names that are no parameter go into the body.

        Raises:
            InvalidSettingError: A setting of the model is given to a call.
        """
        refuse_settings(kwargs, "bill_to", "extra_headers")
        given = {_ALIASES.get(name, name): value for name, value in kwargs.items()}
        params = {core: given.pop(name, getattr(self, name)) for name, core in _SAMPLING.items()}
        if stop is not None:
            params["stop"] = stop
        if isinstance(params["stop"], str):
            params["stop"] = [params["stop"]]
        params["stop"] = params["stop"] or None
        for name in ("model", "provider", "provider_id"):
            params[name] = given.pop(name, getattr(self, name))
        params["scale_up_timeout"] = given.pop("scale_up_timeout", None)
        if "timeout" in given:
            params["timeout"] = given.pop("timeout")
        own = given.pop("extra_body", None) or {}
        params["extra_body"] = {**(self.extra_body or {}), **given, **own} or None
        kept = {name: value for name, value in params.items() if value is not None}
        return {**kept, "timeout": params["timeout"]} if "timeout" in params else kept

    # --- identity: caches, traces, dumps

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        names = ("model", "provider", "provider_id", "base_url", "extra_body", *_SAMPLING)
        known = {name: getattr(self, name) for name in names}
        return {name: value for name, value in known.items() if value is not None}


def _result(found: Sequence[CoreGeneration], model: str | None) -> LLMResult:
    generations = [[Generation(text=item.text, generation_info=_info(item))] for item in found]
    counts = [item.details.generated_tokens for item in found if item.details]
    known = [count for count in counts if count is not None and count >= 0]
    output: dict[str, Any] = {"token_usage": {"completion_tokens": sum(known)}} if known else {}
    if model:
        output["model_name"] = model
    return LLMResult(generations=generations, llm_output=output)


def _info(item: CoreGeneration | CoreChunk) -> dict[str, Any] | None:
    details = item.details
    if details is None:
        return None
    known = {"finish_reason": details.finish_reason, "seed": details.seed}
    return {name: value for name, value in known.items() if value is not None} or None


def _chunk(found: CoreChunk) -> GenerationChunk:
    return GenerationChunk(text=found.text, generation_info=_info(found))
