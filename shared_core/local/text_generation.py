"""Text generation by a language model, in the shapes of TGI."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from shared_core.local.background import Made, Source
from shared_core.local.call import LocalCall
from shared_core.local.chat import loaded, write
from shared_core.local.sampling import Sampling
from shared_core.local.shapes import event
from shared_core.local.torch.language_model import LanguageModel, Prompt, Written

_SAMPLED = frozenset(Sampling.__dataclass_fields__)
_HANDLED = {"return_full_text", "details", "truncate"}
# Accepted where they ask for what is done anyway.
_HARMLESS: dict[str, Any] = {
    "best_of": 1,
    "top_n_tokens": 0,
    "watermark": False,
    "decoder_input_details": False,
    "frequency_penalty": 0,
}
_FINISH = {"end": "eos_token", "stop": "stop_sequence", "length": "length"}


@dataclass(frozen=True, slots=True)
class _Job:
    model: LanguageModel
    text: str
    prompt: Prompt
    sampling: Sampling
    details: bool
    full_text: bool

    def whole(self, pieces: list[str]) -> str:
        return (self.text if self.full_text else "") + "".join(pieces)

    def told(self, written: Written) -> dict[str, Any]:
        return {
            "finish_reason": _FINISH[written.reason],
            "generated_tokens": written.tokens,
            "seed": self.sampling.seed,
            "input_length": written.prompt_tokens,
        }


def generation(call: LocalCall) -> dict[str, Any]:
    """Return ``{"generated_text", "details"?}``."""
    job = _job(call)
    pieces: list[str] = []
    written = write(call, job.model, job.prompt, job.sampling, pieces.append)
    answer: dict[str, Any] = {"generated_text": job.whole(pieces)}
    if job.details:
        answer["details"] = {**job.told(written), "prefill": [], "tokens": []}
    return answer


def events(call: LocalCall) -> Source:
    """Return the text as server-sent events; the last one has the whole of it and the details.

    An event is a piece of text that may be several tokens, so its token has the id -1.
    """
    job = _job(call)

    def work(put: Callable[[bytes], None]) -> None:
        pieces: list[str] = []

        def told(text: str, special: bool = False, **last: Any) -> None:
            token = {"id": -1, "text": text, "logprob": None, "special": special}
            end = {"generated_text": None, "details": None, **last}
            put(event({"index": len(pieces), "token": token, **end}))

        def emit(text: str) -> None:
            pieces.append(text)
            told(text)

        written = write(call, job.model, job.prompt, job.sampling, emit)
        told("", special=True, generated_text=job.whole(pieces), details=job.told(written))

    return Made(call, work)


def _job(call: LocalCall) -> _Job:
    body = call.body()
    text, parameters = body.get("inputs"), body.get("parameters") or {}
    if not isinstance(text, str):
        raise call.bad("inputs must be a text.", "inputs")
    if not isinstance(parameters, dict):
        raise call.bad("parameters must be an object.", "parameters")
    if call.models.chat is None:
        raise call.unsupported(
            "The extractive reader only quotes sentences: it cannot continue a text.",
            "Name a language model: LocalModels(chat=FOLDER or 'org/name').",
        )
    for name, value in parameters.items():
        if name not in _SAMPLED | _HANDLED and value not in (None, _HARMLESS.get(name)):
            raise call.unsupported(
                f"A model in this process cannot keep {name}={value!r:.80}.",
                f"Leave {name} out, or use a server: without local=, with HF_TOKEN set.",
                param=name,
            )
    last = parameters.get("truncate")
    if last is not None and (type(last) is not int or last < 0):
        raise call.bad("truncate must be a whole number, 0 or above.", "truncate")
    path = unquote(urlsplit(call.request.url).path)
    in_path = re.search(r"/models/(.+)$", path)
    model = loaded(call, in_path[1] if in_path else None)
    return _Job(
        model,
        text,
        model.prompt(text, last),
        Sampling.of(parameters),
        bool(parameters.get("details")),
        bool(parameters.get("return_full_text")),
    )
