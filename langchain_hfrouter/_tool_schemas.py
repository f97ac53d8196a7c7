"""What agents may pass to the task tools; the descriptions are written for models to read."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, Field

_ADDRESS = "its http(s) address or a data: URL, or the name of a file in the shared folder"

ImageAddress: TypeAlias = Annotated[str, Field(description=f"The image: {_ADDRESS}.")]
AudioAddress: TypeAlias = Annotated[str, Field(description=f"The recording: {_ADDRESS}.")]
Prompt: TypeAlias = Annotated[str, Field(min_length=1, description="What to make, in words.")]
Unwanted: TypeAlias = Annotated[str | None, Field(description="What must not be in it.")]
Seed: TypeAlias = Annotated[
    int | None, Field(ge=0, description="Number that makes the result repeatable.")
]
Text: TypeAlias = Annotated[str, Field(min_length=1, description="The text.")]
Question: TypeAlias = Annotated[str, Field(min_length=1, description="The question.")]
Labels: TypeAlias = Annotated[
    list[str], Field(min_length=2, description="The classes to choose from.")
]


class NewImage(BaseModel):
    """An image to make."""

    prompt: Prompt
    negative_prompt: Unwanted = None
    width: Annotated[int | None, Field(ge=1, description="Width in pixels.")] = None
    height: Annotated[int | None, Field(ge=1, description="Height in pixels.")] = None
    seed: Seed = None


class ChangedImage(BaseModel):
    """An image to change."""

    image: ImageAddress
    prompt: Annotated[str, Field(min_length=1, description="How to change it, in words.")]
    negative_prompt: Unwanted = None


class NewVideo(BaseModel):
    """A video to make."""

    prompt: Prompt
    negative_prompt: Unwanted = None
    seed: Seed = None


class Picture(BaseModel):
    """An image to look at."""

    image: ImageAddress


class PictureAndQuestion(BaseModel):
    """An image and a question about it."""

    image: ImageAddress
    question: Question


class PictureAndLabels(BaseModel):
    """An image and classes to choose from."""

    image: ImageAddress
    candidate_labels: Labels


class Recording(BaseModel):
    """A recording to listen to."""

    audio: AudioAddress


class SomeText(BaseModel):
    """A text."""

    text: Text


class TextAndLabels(BaseModel):
    """A text and classes to choose from."""

    text: Text
    candidate_labels: Labels
    multi_label: Annotated[
        bool | None, Field(description="Whether several classes may be true at once.")
    ] = None


class TextAndQuestion(BaseModel):
    """A question and the text that holds its answer."""

    question: Question
    context: Annotated[str, Field(min_length=1, description="The text that holds the answer.")]


class TextToTranslate(BaseModel):
    """A text to translate."""

    text: Text
    src_lang: Annotated[
        str | None, Field(description="Its language, as the model writes it; both or none.")
    ] = None
    tgt_lang: Annotated[
        str | None, Field(description="The language wanted, as the model writes it.")
    ] = None


class Sentences(BaseModel):
    """A sentence and others to compare it with."""

    source_sentence: Annotated[str, Field(min_length=1, description="The sentence to compare.")]
    sentences: Annotated[
        list[str], Field(min_length=1, description="The sentences to compare it with.")
    ]
