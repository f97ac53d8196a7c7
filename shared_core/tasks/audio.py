"""Arguments of the tasks about sound, and about tables of numbers (protocol reference, 6.4).

The signature of each function is that of the method; ``**call`` never arrives here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Unpack

from shared_core.config.checks import text as some_text
from shared_core.config.checks import whole_number
from shared_core.media.input import AudioInput
from shared_core.tasks.params import (
    TableInput,
    columns,
    generation,
    parameters,
    timestamps,
    with_file,
)
from shared_core.tasks.spec import Call, Payload
from shared_core.tasks.text import ACTIVATION, Activation


def automatic_speech_recognition(
    audio: AudioInput,
    *,
    return_timestamps: bool | Literal["word", "char"] | None = None,
    generation_parameters: Mapping[str, Any] | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Write down what is said.

    Args:
        audio: The recording.
        return_timestamps: Whether to return pieces with times; ``"word"`` and ``"char"`` for
            models that can.
        generation_parameters: Parameters of the generation, e.g. ``{"max_new_tokens": 100}``;
            those that are specified are checked, others are sent as they are.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    given = parameters(
        return_timestamps=(return_timestamps, timestamps),
        generation_parameters=(generation_parameters, generation),
    )
    return with_file(audio, "audio", "audio", given=given)


def audio_classification(
    audio: AudioInput,
    *,
    function_to_apply: Activation | None = None,
    top_k: int | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Say what a recording sounds like; the best class first.

    Args:
        audio: The recording.
        function_to_apply: What makes scores of the model's numbers.
        top_k: How many classes to return, 5 by default.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    given = parameters(
        function_to_apply=(function_to_apply, ACTIVATION), top_k=(top_k, whole_number(1))
    )
    return with_file(audio, "audio", "audio", given=given)


def audio_to_audio(audio: AudioInput, **call: Unpack[Call]) -> Payload:
    """Turn a recording into others: clean it, or separate its sources.

    Args:
        audio: The recording.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return with_file(audio, "audio", "audio")


def text_to_speech(
    text: str,
    *,
    voice: str | None = None,
    generation_parameters: Mapping[str, Any] | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Read a text aloud.

    Args:
        text: The text.
        voice: Name of a voice, for providers that have several (together needs one).
        generation_parameters: Parameters of the generation.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(
        inputs=some_text("text", text),
        parameters=parameters(
            voice=(voice, some_text), generation_parameters=(generation_parameters, generation)
        ),
    )


def text_to_audio(
    text: str, *, generation_parameters: Mapping[str, Any] | None = None, **call: Unpack[Call]
) -> Payload:
    """Make sounds or music from a description.

    Args:
        text: The description.
        generation_parameters: Parameters of the generation.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(
        inputs=some_text("text", text),
        parameters=parameters(generation_parameters=(generation_parameters, generation)),
    )


def tabular_classification(table: TableInput, **call: Unpack[Call]) -> Payload:
    """Say which class each row of a table belongs to.

    Sent as ``{"inputs": {"data": ...}}``, which has been seen to work; a server that wants
    ``{"table": ...}`` gets that from ``extra_body={"inputs": None, "table": ...}``.

    Args:
        table: Column -> cells, all of the same length; cells are sent as text. A pandas
            DataFrame will do.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(inputs={"data": columns("table", table)})


def tabular_regression(table: TableInput, **call: Unpack[Call]) -> Payload:
    """Say which number belongs to each row of a table; sent as in tabular_classification.

    Args:
        table: Column -> cells, all of the same length; cells are sent as text. A pandas
            DataFrame will do.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(inputs={"data": columns("table", table)})
