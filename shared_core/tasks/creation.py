"""Arguments of the tasks that make text, images, videos and 3D models (protocol reference, 6.3,
6.5, 7.3 to 7.8).

The signature of each function is that of the method; ``**call`` never arrives here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from shared_core.config.checks import boolean, number, text, whole_number
from shared_core.media.input import ImageInput
from shared_core.tasks.params import grammar as check_grammar
from shared_core.tasks.params import parameters, size, texts, with_file
from shared_core.tasks.spec import Call, Payload

Size = tuple[int, int] | Mapping[str, int]

_SEED = whole_number(0, 2**64 - 1)  # TGI: unsigned 64 bits
_COUNT = whole_number(1)
_SCALE = number(0, 1e6)


def text_generation(
    prompt: str,
    *,
    max_new_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    do_sample: bool | None = None,
    stop: Sequence[str] | None = None,
    seed: int | None = None,
    repetition_penalty: float | None = None,
    frequency_penalty: float | None = None,
    return_full_text: bool | None = None,
    details: bool | None = None,
    decoder_input_details: bool | None = None,
    best_of: int | None = None,
    top_n_tokens: int | None = None,
    truncate: int | None = None,
    typical_p: float | None = None,
    watermark: bool | None = None,
    grammar: Mapping[str, Any] | None = None,
    adapter_id: str | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Continue a prompt (not a conversation: that is ``client.chat``).

    Args:
        prompt: The beginning.
        max_new_tokens: Longest continuation, in tokens.
        temperature: Above 0; higher is more varied.
        top_p: Above 0 and below 1.
        top_k: How many tokens to choose from.
        do_sample: Whether to choose at random.
        stop: Texts at which the continuation ends.
        seed: Makes random choices repeatable.
        repetition_penalty: Above 0; 1 is none.
        frequency_penalty: -2 to 2; 0 is none.
        return_full_text: Whether the prompt is returned too. TGI leaves it out by default;
            models that run on plain transformers may return it.
        details: Whether to return ``details``: tokens, reason of the end.
        decoder_input_details: Whether details tell the tokens of the prompt; needs
            ``details=True``.
        best_of: Write several and return the most probable.
        top_n_tokens: Alternatives to tell at each place, in the details.
        truncate: Tokens of the prompt to keep, counted from its end.
        typical_p: Above 0 and below 1.
        watermark: Whether to mark the text as made by a machine.
        grammar: ``{"type": "json", "json_schema" or "regex", "value": ...}``.
        adapter_id: LoRA adapter to use.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(
        inputs=text("prompt", prompt),
        parameters=parameters(
            max_new_tokens=(max_new_tokens, _COUNT),
            temperature=(temperature, number(0, 100)),
            top_p=(top_p, number(0, 1)),
            top_k=(top_k, _COUNT),
            do_sample=(do_sample, boolean),
            stop=(stop, texts(0)),
            seed=(seed, _SEED),
            repetition_penalty=(repetition_penalty, number(0, 1e6)),
            frequency_penalty=(frequency_penalty, number(-2, 2)),
            return_full_text=(return_full_text, boolean),
            details=(details, boolean),
            decoder_input_details=(decoder_input_details, boolean),
            best_of=(best_of, _COUNT),
            top_n_tokens=(top_n_tokens, whole_number(0)),
            truncate=(truncate, _COUNT),
            typical_p=(typical_p, number(0, 1)),
            watermark=(watermark, boolean),
            grammar=(grammar, check_grammar),
            adapter_id=(adapter_id, text),
        ),
    )


def text_to_image(
    prompt: str,
    *,
    negative_prompt: str | None = None,
    height: int | None = None,
    width: int | None = None,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    scheduler: str | None = None,
    seed: int | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Make an image from a description.

    Args:
        prompt: What to show.
        negative_prompt: What not to show.
        height: Height in pixels.
        width: Width in pixels.
        num_inference_steps: More steps are slower and often better.
        guidance_scale: How closely to follow the prompt.
        scheduler: Name of the scheduler.
        seed: Makes the image repeatable.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(
        inputs=text("prompt", prompt),
        parameters=parameters(
            negative_prompt=(negative_prompt, text),
            height=(height, _COUNT),
            width=(width, _COUNT),
            num_inference_steps=(num_inference_steps, _COUNT),
            guidance_scale=(guidance_scale, _SCALE),
            scheduler=(scheduler, text),
            seed=(seed, _SEED),
        ),
    )


def image_to_image(
    image: ImageInput,
    prompt: str | None = None,
    *,
    negative_prompt: str | None = None,
    guidance_scale: float | None = None,
    num_inference_steps: int | None = None,
    target_size: Size | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Change an image.

    Args:
        image: The image.
        prompt: How to change it.
        negative_prompt: What not to show.
        guidance_scale: How closely to follow the prompt.
        num_inference_steps: More steps are slower and often better.
        target_size: ``(width, height)`` of the result in pixels.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    given = parameters(
        prompt=(prompt, text),
        negative_prompt=(negative_prompt, text),
        guidance_scale=(guidance_scale, _SCALE),
        num_inference_steps=(num_inference_steps, _COUNT),
        target_size=(target_size, size),
    )
    return with_file(image, "image", "image", given=given)


def image_text_to_image(
    image: ImageInput,
    prompt: str,
    *,
    negative_prompt: str | None = None,
    guidance_scale: float | None = None,
    num_inference_steps: int | None = None,
    target_size: Size | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Make an image from an image and a description.

    Args:
        image: The image.
        prompt: What to make of it.
        negative_prompt: What not to show.
        guidance_scale: How closely to follow the prompt.
        num_inference_steps: More steps are slower and often better.
        target_size: ``(width, height)`` of the result in pixels.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return image_to_image(
        image,
        text("prompt", prompt),
        negative_prompt=negative_prompt,
        guidance_scale=guidance_scale,
        num_inference_steps=num_inference_steps,
        target_size=target_size,
    )


def text_to_video(
    prompt: str,
    *,
    negative_prompt: str | Sequence[str] | None = None,
    num_frames: int | None = None,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Make a video from a description.

    Args:
        prompt: What to show.
        negative_prompt: What not to show, one text or several.
        num_frames: How many frames.
        num_inference_steps: More steps are slower and often better.
        guidance_scale: How closely to follow the prompt.
        seed: Makes the video repeatable.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(
        inputs=text("prompt", prompt),
        parameters=_video(negative_prompt, num_frames, num_inference_steps, guidance_scale, seed),
    )


def image_to_video(
    image: ImageInput,
    prompt: str | None = None,
    *,
    negative_prompt: str | Sequence[str] | None = None,
    num_frames: int | None = None,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int | None = None,
    target_size: Size | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Make an image move.

    Args:
        image: The first frame.
        prompt: What happens.
        negative_prompt: What not to show, one text or several.
        num_frames: How many frames.
        num_inference_steps: More steps are slower and often better.
        guidance_scale: How closely to follow the prompt.
        seed: Makes the video repeatable.
        target_size: ``(width, height)`` of the result in pixels.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    given = {
        **parameters(prompt=(prompt, text), target_size=(target_size, size)),
        **_video(negative_prompt, num_frames, num_inference_steps, guidance_scale, seed),
    }
    return with_file(image, "image", "image", given=given)


def image_text_to_video(
    image: ImageInput,
    prompt: str,
    *,
    negative_prompt: str | Sequence[str] | None = None,
    num_frames: int | None = None,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int | None = None,
    target_size: Size | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Make a video from an image and a description.

    Args:
        image: The image.
        prompt: What happens.
        negative_prompt: What not to show, one text or several.
        num_frames: How many frames.
        num_inference_steps: More steps are slower and often better.
        guidance_scale: How closely to follow the prompt.
        seed: Makes the video repeatable.
        target_size: ``(width, height)`` of the result in pixels.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return image_to_video(
        image,
        text("prompt", prompt),
        negative_prompt=negative_prompt,
        num_frames=num_frames,
        num_inference_steps=num_inference_steps,
        guidance_scale=guidance_scale,
        seed=seed,
        target_size=target_size,
    )


def _video(unwanted: Any, frames: Any, steps: Any, scale: Any, seed: Any) -> dict[str, Any]:
    return parameters(
        negative_prompt=(unwanted, text if isinstance(unwanted, str) else texts()),
        num_frames=(frames, _COUNT),
        num_inference_steps=(steps, _COUNT),
        guidance_scale=(scale, _SCALE),
        seed=(seed, _SEED),
    )


def text_to_3d(
    prompt: str,
    *,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Make a 3D model from a description.

    Args:
        prompt: What to make.
        num_inference_steps: More steps are slower and often better.
        guidance_scale: How closely to follow the prompt.
        seed: Makes the model repeatable.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(
        inputs=text("prompt", prompt),
        parameters=_video(None, None, num_inference_steps, guidance_scale, seed),
    )


def image_to_3d(
    image: ImageInput,
    prompt: str | None = None,
    *,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Make a 3D model from an image.

    Args:
        image: The image.
        prompt: What else to know about it.
        num_inference_steps: More steps are slower and often better.
        guidance_scale: How closely to follow the prompt.
        seed: Makes the model repeatable.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    given = {
        **parameters(prompt=(prompt, text)),
        **_video(None, None, num_inference_steps, guidance_scale, seed),
    }
    return with_file(image, "image", "image", given=given)
