"""Go on with an answer that was cut: send what arrived back, and join what follows.

Explicit, never automatic: the rest costs a second prompt, and a model may take up its own words
in another way than it would have gone on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

from shared_core.chat.messages import MessageLike
from shared_core.chat.types import ChatCompletion, ChatMessage, Usage
from shared_core.errors import InvalidSettingError, StreamError
from shared_core.flow import Flow

if TYPE_CHECKING:
    from shared_core.chat.params import ChatParams

How = Literal["prefill", "ask"]
LONGEST_OVERLAP = 200
"""Characters at the seam in which a repetition of the last words is looked for."""

SHORTEST_OVERLAP = 8
"""Shorter repetitions are taken for chance: a text may well say "the" twice."""

_REQUEST = (
    "Your last message was cut off by the network. Continue it exactly where it stops, beginning "
    "with the next character. Do not repeat anything of it and do not comment."
)
_PREFILL = {"add_generation_prompt": False, "continue_final_message": True}


@dataclass(frozen=True, slots=True)
class Resumption:
    """What is sent to go on, and how the two parts are joined."""

    partial: ChatCompletion
    messages: list[Any]
    params: dict[str, Any]
    how: How

    def join(self, rest: ChatCompletion) -> ChatCompletion:
        """Return the whole answer: what arrived, and *rest* after it."""
        before = self.partial.text
        after = rest.text
        after = after[overlap(before, after) :]
        message = replace(rest.message, content=before + after)
        if self.partial.reasoning:
            message.reasoning = self.partial.reasoning + (rest.reasoning or "")
        choice = replace(rest.choices[0], message=message)
        return replace(rest, choices=[choice], usage=_sum(self.partial.usage, rest.usage))


def resumption(
    cut: StreamError | ChatCompletion,
    messages: MessageLike | Sequence[MessageLike],
    params: Mapping[str, Any],
    how: How,
) -> Resumption:
    """Return what is needed to go on with *cut*.

    Args:
        cut: The error of the stream, or its ``partial``.
        messages: The conversation as it was sent.
        params: Parameters of the call as they were.
        how: ``"prefill"`` or ``"ask"``.

    Raises:
        InvalidSettingError: It cannot be continued; the message says why.
    """
    if how not in ("prefill", "ask"):
        raise _cannot(f"how must be 'prefill' or 'ask': {how!r}", "how")
    partial = cut if isinstance(cut, ChatCompletion) else getattr(cut, "partial", None)
    if not isinstance(partial, ChatCompletion):
        raise _cannot("nothing of the answer arrived: call create or stream again")
    _check(partial, params)
    if isinstance(messages, str | ChatMessage | Mapping):
        before: list[Any] = [messages]
    else:
        before = list(messages)
    if isinstance(before[0] if before else None, str):
        before = [ChatMessage("user", one) if isinstance(one, str) else one for one in before]
    sent = [*before, ChatMessage("assistant", partial.text)]
    changed = dict(params)
    if how == "ask":
        sent.append(ChatMessage("user", _REQUEST))
    else:
        changed["extra_body"] = {**_PREFILL, **(changed.get("extra_body") or {})}
    return Resumption(partial, sent, changed, how)


def _check(partial: ChatCompletion, params: Mapping[str, Any]) -> None:
    if len(partial.choices) > 1 or (params.get("n") or 1) > 1:
        raise _cannot("it has several choices, and a message can continue one only")
    if partial.incomplete_tool_calls or partial.tool_calls:
        raise _cannot(
            "it was calling tools, and arguments cannot be continued: call again, and do not "
            "run what arrived of them"
        )
    if not partial.text:
        what = "only reasoning arrived, which" if partial.reasoning else "no text arrived, which"
        raise _cannot(f"{what} no model takes up: call again")
    if params.get("response_format") is not None:
        raise _cannot("response_format would make the rest a whole document of its own: call again")
    if partial.finish_reason is not None:
        raise _cannot(f"it is complete (finish_reason {partial.finish_reason!r})")


def _cannot(why: str, setting: str = "cut") -> InvalidSettingError:
    return InvalidSettingError(
        f"this answer cannot be resumed: {why}",
        setting=setting,
        guidance="What arrived is in .partial of the error.",
    )


def overlap(before: str, after: str) -> int:
    """Return how many characters at the start of *after* repeat the end of *before*.

    Args:
        before: What arrived.
        after: What followed.
    """
    for size in range(min(len(before), len(after), LONGEST_OVERLAP), SHORTEST_OVERLAP - 1, -1):
        if before.endswith(after[:size]):
            return size
    return 0


def _sum(first: Usage | None, second: Usage | None) -> Usage | None:
    if first is None or second is None:
        return second
    return Usage(
        first.prompt_tokens + second.prompt_tokens,
        first.completion_tokens + second.completion_tokens,
        first.total_tokens + second.total_tokens,
    )


def resuming(
    work: Resumption, create: Callable[[Any, ChatParams], Flow[ChatCompletion]]
) -> Flow[ChatCompletion]:
    """Ask for the rest and return the whole answer.

    Args:
        work: What to send and how to join.
        create: Makes the flow of a call.
    """
    rest = yield from create(work.messages, cast("ChatParams", work.params))
    return work.join(rest)
