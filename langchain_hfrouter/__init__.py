"""LangChain on the Hugging Face router: chat, embeddings, reranking, completion and tools.

``langchain_hfrouter.decisions`` has a decision model besides, for langchain-core 1.8 and later.

Names are loaded on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_hfrouter._register import register as register
    from langchain_hfrouter.chat_models import ChatHFRouter as ChatHFRouter
    from langchain_hfrouter.embeddings import HFRouterEmbeddings as HFRouterEmbeddings
    from langchain_hfrouter.llms import HFRouterLLM as HFRouterLLM
    from langchain_hfrouter.rerank import HFRouterRerank as HFRouterRerank
    from langchain_hfrouter.tools import AudioClassificationTool as AudioClassificationTool
    from langchain_hfrouter.tools import (
        DocumentQuestionAnsweringTool as DocumentQuestionAnsweringTool,
    )
    from langchain_hfrouter.tools import ImageClassificationTool as ImageClassificationTool
    from langchain_hfrouter.tools import ImageToImageTool as ImageToImageTool
    from langchain_hfrouter.tools import ImageToTextTool as ImageToTextTool
    from langchain_hfrouter.tools import ObjectDetectionTool as ObjectDetectionTool
    from langchain_hfrouter.tools import QuestionAnsweringTool as QuestionAnsweringTool
    from langchain_hfrouter.tools import SentenceSimilarityTool as SentenceSimilarityTool
    from langchain_hfrouter.tools import SpeechRecognitionTool as SpeechRecognitionTool
    from langchain_hfrouter.tools import SummarizationTool as SummarizationTool
    from langchain_hfrouter.tools import TextClassificationTool as TextClassificationTool
    from langchain_hfrouter.tools import TextToImageTool as TextToImageTool
    from langchain_hfrouter.tools import TextToSpeechTool as TextToSpeechTool
    from langchain_hfrouter.tools import TextToVideoTool as TextToVideoTool
    from langchain_hfrouter.tools import TokenClassificationTool as TokenClassificationTool
    from langchain_hfrouter.tools import TranslationTool as TranslationTool
    from langchain_hfrouter.tools import VisualQuestionAnsweringTool as VisualQuestionAnsweringTool
    from langchain_hfrouter.tools import ZeroShotClassificationTool as ZeroShotClassificationTool
    from langchain_hfrouter.tools import (
        ZeroShotImageClassificationTool as ZeroShotImageClassificationTool,
    )

_HOME_OF = {
    "ChatHFRouter": "langchain_hfrouter.chat_models",
    "HFRouterEmbeddings": "langchain_hfrouter.embeddings",
    "HFRouterLLM": "langchain_hfrouter.llms",
    "HFRouterRerank": "langchain_hfrouter.rerank",
    "register": "langchain_hfrouter._register",
    **dict.fromkeys(
        (
            "AudioClassificationTool",
            "DocumentQuestionAnsweringTool",
            "ImageClassificationTool",
            "ImageToImageTool",
            "ImageToTextTool",
            "ObjectDetectionTool",
            "QuestionAnsweringTool",
            "SentenceSimilarityTool",
            "SpeechRecognitionTool",
            "SummarizationTool",
            "TextClassificationTool",
            "TextToImageTool",
            "TextToSpeechTool",
            "TextToVideoTool",
            "TokenClassificationTool",
            "TranslationTool",
            "VisualQuestionAnsweringTool",
            "ZeroShotClassificationTool",
            "ZeroShotImageClassificationTool",
        ),
        "langchain_hfrouter.tools",
    ),
}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "langchain_core":
            raise
        raise ImportError(
            "langchain_hfrouter needs langchain-core: pip install 'hfrouter[langchain]'"
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
