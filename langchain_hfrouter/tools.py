"""Tools for agents: one for each task of the router that an agent may have use for.

A tool answers with a text for the model and an artifact for the program: the typed result of
``shared_core``, e.g. a ``Media`` with ``save()`` or a list of ``Label``.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from langchain_core.tools import BaseTool, ToolException
from langchain_core.tools.base import ArgsSchema
from pydantic import Field, SkipValidation

from langchain_hfrouter import _tool_schemas as schemas
from langchain_hfrouter._base import RouterConnection

Schema = Annotated[ArgsSchema | None, SkipValidation]


class HFRouterTool(RouterConnection, BaseTool):
    """What the tools share; use one of its subclasses.

    The model of a tool is chosen by you, not by the agent: ``TextToImageTool(model="org/name")``.
    Files come from http(s) addresses and ``data:`` URLs. A tool touches no file of yours unless
    it is given a ``folder``: it then reads files there, and nowhere else, and writes into it what
    it makes.
    """

    task: ClassVar[str] = ""
    """Method of ``client.tasks``."""

    file_argument: ClassVar[str | None] = None
    """Argument that names a file."""

    model: str | None = None
    """Hub id, or the address of a server of your own."""

    provider: str | None = None
    """Who serves the model; hf-inference by default, ``"auto"`` the first that does."""

    task_parameters: dict[str, Any] = Field(default_factory=dict)
    """Further keywords of the task, e.g. ``{"num_inference_steps": 4}``. The agent cannot
    change them."""

    folder: str | Path | None = None
    """Folder that files are read from and written to; None: no files."""

    show: bool = False
    """Whether the model gets an image that was made to see, not only to know of."""

    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    """The tool's answer is a text and the typed result."""

    keyword_aliases: ClassVar[dict[str, str]] = {
        **RouterConnection.keyword_aliases,
        "model_name": "model",
        "repo_id": "model",
    }

    def _run(self, *values: Any, **arguments: Any) -> tuple[Any, Any]:
        from langchain_hfrouter._errors import dual_errors
        from shared_core import RouterError

        try:
            with dual_errors:
                method = getattr(self.sync_client().tasks, self.task)
                return self._answer(method(**self._keywords(values, arguments)))
        except RouterError as error:
            self._tell(error)
            raise

    async def _arun(self, *values: Any, **arguments: Any) -> tuple[Any, Any]:
        from langchain_hfrouter._errors import dual_errors
        from shared_core import RouterError

        try:
            with dual_errors:
                method = getattr(self.async_client().tasks, self.task)
                return self._answer(await method(**self._keywords(values, arguments)))
        except RouterError as error:
            self._tell(error)
            raise

    def _tell(self, error: Exception) -> None:
        """Hand an error over to ``handle_tool_error``, if it is set."""
        if self.handle_tool_error:
            raise ToolException(str(error)) from error

    def _keywords(self, values: tuple[Any, ...], arguments: dict[str, Any]) -> dict[str, Any]:
        # LangChain passes a bare text by position.
        named = dict(zip(self.args, values, strict=False))
        given = {k: value for k, value in {**named, **arguments}.items() if value is not None}
        if self.file_argument is not None:
            given[self.file_argument] = self._file(given[self.file_argument])
        own = {"model": self.model, "provider": self.provider}
        chosen = {name: value for name, value in own.items() if value is not None}
        return {**given, **chosen, **self.task_parameters}

    def _file(self, name: str) -> str | Path:
        """Return an address as it is, a file's name as its path within the folder.

        Raises:
            InvalidSettingError: It is neither; the agent is not to read other files.
        """
        from shared_core import InvalidSettingError

        if name[:8].lower().startswith(("http://", "https://", "data:")):
            return name
        if self.folder is None:
            raise InvalidSettingError(
                f"{self.file_argument} must be an http(s) address or a data: URL",
                guidance="Files can be named if the tool has a folder=.",
                setting=str(self.file_argument),
            )
        root = Path(self.folder).resolve()
        with contextlib.suppress(OSError, ValueError):  # no name of a file at all
            path = (root / name).resolve()
            if path.is_relative_to(root) and path.is_file():
                return path
        raise InvalidSettingError(
            f"there is no file {name[:100]!r} in the shared folder",
            setting=str(self.file_argument),
        )

    def _answer(self, result: Any) -> tuple[Any, Any]:
        from langchain_hfrouter._tool_results import in_words
        from shared_core import Media

        told = in_words(result)
        if not isinstance(result, Media):
            return told, result
        if self.folder is not None:
            name = hashlib.sha256(result.content).hexdigest()[:16]
            told += f" It is the file {result.save(Path(self.folder) / name).name}."
        if self.show and result.media_type.startswith("image/"):
            data = base64.b64encode(result.content).decode()
            image = {"type": "image", "base64": data, "mime_type": result.media_type}
            return [{"type": "text", "text": told}, image], result
        return told, result


# --- images and videos ------------------------------------------------------------------


class TextToImageTool(HFRouterTool):
    """Makes an image; the artifact is a ``Media``."""

    task: ClassVar[str] = "text_to_image"
    name: str = "generate_image"
    description: str = "Make an image from a description in words."
    args_schema: Schema = Field(default=schemas.NewImage)


class ImageToImageTool(HFRouterTool):
    """Changes an image; the artifact is a ``Media``."""

    task: ClassVar[str] = "image_to_image"
    file_argument: ClassVar[str | None] = "image"
    name: str = "edit_image"
    description: str = "Change an image as described in words."
    args_schema: Schema = Field(default=schemas.ChangedImage)


class TextToVideoTool(HFRouterTool):
    """Makes a video; the artifact is a ``Media``."""

    task: ClassVar[str] = "text_to_video"
    name: str = "generate_video"
    description: str = "Make a short video from a description in words. Takes minutes."
    args_schema: Schema = Field(default=schemas.NewVideo)


class ImageToTextTool(HFRouterTool):
    """Describes an image; the artifact is a ``WrittenText``."""

    task: ClassVar[str] = "image_to_text"
    file_argument: ClassVar[str | None] = "image"
    name: str = "describe_image"
    description: str = "Describe in words what an image shows, or read the text in it."
    args_schema: Schema = Field(default=schemas.Picture)


class VisualQuestionAnsweringTool(HFRouterTool):
    """Answers a question about an image; the artifact is a list of ``Answer``."""

    task: ClassVar[str] = "visual_question_answering"
    file_argument: ClassVar[str | None] = "image"
    name: str = "answer_about_image"
    description: str = "Answer a question about what an image shows."
    args_schema: Schema = Field(default=schemas.PictureAndQuestion)


class DocumentQuestionAnsweringTool(HFRouterTool):
    """Answers a question about a scanned page; the artifact is a list of ``Answer``."""

    task: ClassVar[str] = "document_question_answering"
    file_argument: ClassVar[str | None] = "image"
    name: str = "answer_about_document"
    description: str = "Answer a question about a scanned document, given as an image of the page."
    args_schema: Schema = Field(default=schemas.PictureAndQuestion)


class ImageClassificationTool(HFRouterTool):
    """Classifies an image; the artifact is a list of ``Label``."""

    task: ClassVar[str] = "image_classification"
    file_argument: ClassVar[str | None] = "image"
    name: str = "classify_image"
    description: str = "Say what an image shows: the likeliest classes with probabilities."
    args_schema: Schema = Field(default=schemas.Picture)


class ZeroShotImageClassificationTool(HFRouterTool):
    """Classifies an image by classes of one's own; the artifact is a list of ``Label``."""

    task: ClassVar[str] = "zero_shot_image_classification"
    file_argument: ClassVar[str | None] = "image"
    name: str = "choose_image_label"
    description: str = "Say which of some given classes an image belongs to, with probabilities."
    args_schema: Schema = Field(default=schemas.PictureAndLabels)


class ObjectDetectionTool(HFRouterTool):
    """Finds objects in an image; the artifact is a list of ``Detection``."""

    task: ClassVar[str] = "object_detection"
    file_argument: ClassVar[str | None] = "image"
    name: str = "find_objects"
    description: str = "Find objects in an image: what they are, and where, in pixels."
    args_schema: Schema = Field(default=schemas.Picture)


# --- sound ------------------------------------------------------------------------------


class SpeechRecognitionTool(HFRouterTool):
    """Writes down speech; the artifact is a ``Transcription``."""

    task: ClassVar[str] = "automatic_speech_recognition"
    file_argument: ClassVar[str | None] = "audio"
    name: str = "transcribe_speech"
    description: str = "Write down what is said in a recording."
    args_schema: Schema = Field(default=schemas.Recording)


class TextToSpeechTool(HFRouterTool):
    """Reads a text aloud; the artifact is a ``Media``."""

    task: ClassVar[str] = "text_to_speech"
    name: str = "speak"
    description: str = "Read a text aloud: makes a recording of it."
    args_schema: Schema = Field(default=schemas.SomeText)


class AudioClassificationTool(HFRouterTool):
    """Classifies a recording; the artifact is a list of ``Label``."""

    task: ClassVar[str] = "audio_classification"
    file_argument: ClassVar[str | None] = "audio"
    name: str = "classify_sound"
    description: str = "Say what a recording sounds like: the likeliest classes."
    args_schema: Schema = Field(default=schemas.Recording)


# --- text -------------------------------------------------------------------------------


class TextClassificationTool(HFRouterTool):
    """Classifies a text, e.g. by its sentiment; the artifact is a list of ``Label``."""

    task: ClassVar[str] = "text_classification"
    name: str = "classify_text"
    description: str = "Say which classes a text belongs to, e.g. its sentiment."
    args_schema: Schema = Field(default=schemas.SomeText)


class ZeroShotClassificationTool(HFRouterTool):
    """Classifies a text by classes of one's own; the artifact is a list of ``Label``."""

    task: ClassVar[str] = "zero_shot_classification"
    name: str = "choose_text_label"
    description: str = "Say which of some given classes a text belongs to, with probabilities."
    args_schema: Schema = Field(default=schemas.TextAndLabels)


class TokenClassificationTool(HFRouterTool):
    """Finds names in a text; the artifact is a list of ``Entity``."""

    task: ClassVar[str] = "token_classification"
    name: str = "find_entities"
    description: str = "Find the names of persons, places and other entities in a text."
    args_schema: Schema = Field(default=schemas.SomeText)


class QuestionAnsweringTool(HFRouterTool):
    """Finds an answer in a text; the artifact is a list of ``Answer``."""

    task: ClassVar[str] = "question_answering"
    name: str = "find_answer"
    description: str = "Find the answer to a question in a text, word for word."
    args_schema: Schema = Field(default=schemas.TextAndQuestion)


class SummarizationTool(HFRouterTool):
    """Shortens a text; the artifact is a ``WrittenText``."""

    task: ClassVar[str] = "summarization"
    name: str = "summarize_text"
    description: str = "Shorten a long text, keeping its meaning."
    args_schema: Schema = Field(default=schemas.SomeText)


class TranslationTool(HFRouterTool):
    """Translates a text; the artifact is a ``WrittenText``."""

    task: ClassVar[str] = "translation"
    name: str = "translate_text"
    description: str = "Translate a text into another language."
    args_schema: Schema = Field(default=schemas.TextToTranslate)


class SentenceSimilarityTool(HFRouterTool):
    """Compares sentences; the artifact is a list of numbers."""

    task: ClassVar[str] = "sentence_similarity"
    name: str = "compare_sentences"
    description: str = "Say how similar in meaning sentences are to one sentence; 1 is the same."
    args_schema: Schema = Field(default=schemas.Sentences)
    local_model: ClassVar[str] = "embedding_model"
