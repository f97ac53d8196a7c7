"""A language model that also sees or hears: its processor makes the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared_core.local.failures import LocalModelError
from shared_core.local.torch.language_model import LanguageModel, Prompt

_TRIED = "xyzzy"
"""A text that no template has of its own."""


class MediaModel(LanguageModel):
    """A loaded model with a processor of transformers.

    Args:
        folder: Where it is.
        model: The model itself, on its device.
        processor: Makes tokens and tensors of texts, images and sound.
        reads: What the model reads beside text: ``"image"``, ``"audio"``.
    """

    def __init__(self, folder: Path, model: Any, processor: Any, reads: frozenset[str]) -> None:
        super().__init__(folder, model, processor.tokenizer)
        self.reads = reads
        self._processor = processor
        # The name that a processor of transformers has for it, then that of models' own code.
        for name in ("feature_extractor", "audio_processor"):
            self.rate = getattr(getattr(processor, name, None), "sampling_rate", self.rate)
        self._parts_only = bool(self.template) and not self._takes_plain_text()

    @property
    def template(self) -> str:
        """The chat template, empty where the model has none."""
        template = getattr(self._processor, "chat_template", None)
        if isinstance(template, Mapping):
            template = template.get("tool_use") or template.get("default")
        return template or super().template

    def conversation(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Any] | None,
        options: Mapping[str, Any],
    ) -> Prompt:
        """Return the prompt that the processor makes with the chat template.

        Args:
            messages: In the form of the template: the content is a text, or parts of the types
                ``text``, ``image`` (with a Pillow image) and ``audio`` (with samples).
            tools: Definitions, or None.
            options: Further variables of the template.

        Raises:
            LocalModelError: Template or processor refuse the conversation.
        """
        with self._reading:
            try:
                made = self._processor.apply_chat_template(
                    [self._message(message) for message in messages],
                    chat_template=self.template,
                    tools=list(tools) if tools else None,
                    add_generation_prompt=True,
                    tokenize=True,
                    return_dict=True,
                    return_tensors="pt",
                    # What the template does not use would be taken for the processor's.
                    **{name: value for name, value in options.items() if name in self.template},
                )
            except Exception as exc:
                raise LocalModelError(
                    f"Chat template and processor of {self.folder} refuse the messages: "
                    f"{type(exc).__name__}: {exc}",
                    guidance="Change order and roles of the messages, and number and size of the "
                    "images, to what the model expects.",
                ) from exc
        media = {name: value for name, value in made.items() if name != "attention_mask"}
        return Prompt(media.pop("input_ids")[0].tolist(), media)

    def _message(self, message: Mapping[str, Any]) -> dict[str, Any]:
        content = message["content"]
        if self._parts_only and isinstance(content, str):
            content = [{"type": "text", "text": content}]
        return {**message, "content": content}

    def _takes_plain_text(self) -> bool:
        """Try whether the template reads a content that is a text: some read only parts."""
        message = {"role": "user", "content": _TRIED}
        try:
            text = self._processor.apply_chat_template([message], chat_template=self.template)
        except Exception:  # noqa: BLE001 - a template can raise anything
            return False
        return _TRIED in text
