"""The Hugging Face router as a Python client: chat, streaming, embeddings, models.

Names are loaded on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared_core.callbacks import BudgetEvent as BudgetEvent
    from shared_core.callbacks import CacheEvent as CacheEvent
    from shared_core.callbacks import Callback as Callback
    from shared_core.callbacks import CallEndEvent as CallEndEvent
    from shared_core.callbacks import CallStartEvent as CallStartEvent
    from shared_core.callbacks import ChunkEvent as ChunkEvent
    from shared_core.callbacks import CircuitEvent as CircuitEvent
    from shared_core.callbacks import ErrorEvent as ErrorEvent
    from shared_core.callbacks import FailoverEvent as FailoverEvent
    from shared_core.callbacks import RateLimitEvent as RateLimitEvent
    from shared_core.callbacks import RequestEvent as RequestEvent
    from shared_core.callbacks import ResponseEvent as ResponseEvent
    from shared_core.callbacks import RetryEvent as RetryEvent
    from shared_core.callbacks import StreamCompleteEvent as StreamCompleteEvent
    from shared_core.chat.params import ChatParams as ChatParams
    from shared_core.chat.stream import AsyncChatStream as AsyncChatStream
    from shared_core.chat.stream import ChatStream as ChatStream
    from shared_core.chat.structured import json_schema_format as json_schema_format
    from shared_core.chat.structured import parse_json_text as parse_json_text
    from shared_core.chat.structured import parse_structured as parse_structured
    from shared_core.chat.tools import tool_spec as tool_spec
    from shared_core.chat.types import AudioPart as AudioPart
    from shared_core.chat.types import ChatChunk as ChatChunk
    from shared_core.chat.types import ChatCompletion as ChatCompletion
    from shared_core.chat.types import ChatMessage as ChatMessage
    from shared_core.chat.types import Choice as Choice
    from shared_core.chat.types import FilePart as FilePart
    from shared_core.chat.types import ImagePart as ImagePart
    from shared_core.chat.types import RawPart as RawPart
    from shared_core.chat.types import TextPart as TextPart
    from shared_core.chat.types import ToolCall as ToolCall
    from shared_core.chat.types import ToolCallDelta as ToolCallDelta
    from shared_core.chat.types import Usage as Usage
    from shared_core.chat.types import VideoPart as VideoPart
    from shared_core.client import AsyncRouterClient as AsyncRouterClient
    from shared_core.client import RouterClient as RouterClient
    from shared_core.config.dynamic import ClientConfig as ClientConfig
    from shared_core.config.settings import Limits as Limits
    from shared_core.config.settings import Settings as Settings
    from shared_core.config.settings import TLSSettings as TLSSettings
    from shared_core.config.store import ConfigStore as ConfigStore
    from shared_core.config.validate import unknown_keyword as unknown_keyword
    from shared_core.constants import CUT_REASONS as CUT_REASONS
    from shared_core.constants import ChatModels as ChatModels
    from shared_core.constants import EmbeddingModels as EmbeddingModels
    from shared_core.embeddings.search import SearchHit as SearchHit
    from shared_core.embeddings.search import SemanticIndex as SemanticIndex
    from shared_core.embeddings.similarity import most_similar as most_similar
    from shared_core.embeddings.types import EmbeddingResult as EmbeddingResult
    from shared_core.embeddings.types import EmbeddingUsage as EmbeddingUsage
    from shared_core.embeddings.types import SparseVector as SparseVector
    from shared_core.endpoints.async_handle import AsyncEndpoint as AsyncEndpoint
    from shared_core.endpoints.handle import Endpoint as Endpoint
    from shared_core.endpoints.types import EndpointInfo as EndpointInfo
    from shared_core.endpoints.types import Hardware as Hardware
    from shared_core.errors import AnonymousRateLimitError as AnonymousRateLimitError
    from shared_core.errors import APIConnectionError as APIConnectionError
    from shared_core.errors import APIError as APIError
    from shared_core.errors import APIResponseValidationError as APIResponseValidationError
    from shared_core.errors import APIStatusError as APIStatusError
    from shared_core.errors import APITimeoutError as APITimeoutError
    from shared_core.errors import AuthenticationError as AuthenticationError
    from shared_core.errors import BadRequestError as BadRequestError
    from shared_core.errors import BudgetExceededError as BudgetExceededError
    from shared_core.errors import CircuitOpenError as CircuitOpenError
    from shared_core.errors import ClientBlockedError as ClientBlockedError
    from shared_core.errors import ConfigurationError as ConfigurationError
    from shared_core.errors import ConflictError as ConflictError
    from shared_core.errors import ConnectFailedError as ConnectFailedError
    from shared_core.errors import ConnectionLostError as ConnectionLostError
    from shared_core.errors import ContentFilterError as ContentFilterError
    from shared_core.errors import ContextLengthError as ContextLengthError
    from shared_core.errors import DeadlineExceededError as DeadlineExceededError
    from shared_core.errors import EndpointFailedError as EndpointFailedError
    from shared_core.errors import EndpointTimeoutError as EndpointTimeoutError
    from shared_core.errors import GatedModelError as GatedModelError
    from shared_core.errors import GatewayTimeoutError as GatewayTimeoutError
    from shared_core.errors import GenerationFailedError as GenerationFailedError
    from shared_core.errors import IncompleteResponseError as IncompleteResponseError
    from shared_core.errors import InternalServerError as InternalServerError
    from shared_core.errors import InvalidSettingError as InvalidSettingError
    from shared_core.errors import JobFailedError as JobFailedError
    from shared_core.errors import JobTimeoutError as JobTimeoutError
    from shared_core.errors import MissingTokenError as MissingTokenError
    from shared_core.errors import ModelLoadingError as ModelLoadingError
    from shared_core.errors import ModelNotFoundError as ModelNotFoundError
    from shared_core.errors import ModelNotSupportedError as ModelNotSupportedError
    from shared_core.errors import ModelOutputError as ModelOutputError
    from shared_core.errors import NameResolutionError as NameResolutionError
    from shared_core.errors import NoEndpointAvailableError as NoEndpointAvailableError
    from shared_core.errors import NotChatModelError as NotChatModelError
    from shared_core.errors import NotFoundError as NotFoundError
    from shared_core.errors import NotImplementedByServerError as NotImplementedByServerError
    from shared_core.errors import PaymentRequiredError as PaymentRequiredError
    from shared_core.errors import PermissionDeniedError as PermissionDeniedError
    from shared_core.errors import ProviderNotBillableError as ProviderNotBillableError
    from shared_core.errors import ProxyAuthenticationError as ProxyAuthenticationError
    from shared_core.errors import ProxyError as ProxyError
    from shared_core.errors import ProxyUnavailableError as ProxyUnavailableError
    from shared_core.errors import RateLimiterRejectedError as RateLimiterRejectedError
    from shared_core.errors import RateLimitError as RateLimitError
    from shared_core.errors import RedirectRefusedError as RedirectRefusedError
    from shared_core.errors import RejectedError as RejectedError
    from shared_core.errors import RequestTimeoutError as RequestTimeoutError
    from shared_core.errors import RequestTooLargeError as RequestTooLargeError
    from shared_core.errors import ResponseFailedError as ResponseFailedError
    from shared_core.errors import ResponseTooLargeError as ResponseTooLargeError
    from shared_core.errors import RouterError as RouterError
    from shared_core.errors import ServiceUnavailableError as ServiceUnavailableError
    from shared_core.errors import StoreUnavailableError as StoreUnavailableError
    from shared_core.errors import StreamError as StreamError
    from shared_core.errors import StreamEventError as StreamEventError
    from shared_core.errors import StreamInterruptedError as StreamInterruptedError
    from shared_core.errors import StreamTimeoutError as StreamTimeoutError
    from shared_core.errors import StructuredOutputError as StructuredOutputError
    from shared_core.errors import TLSError as TLSError
    from shared_core.errors import ToolArgumentsError as ToolArgumentsError
    from shared_core.errors import UnprocessableEntityError as UnprocessableEntityError
    from shared_core.errors import UnsupportedFeatureError as UnsupportedFeatureError
    from shared_core.errors import UnsupportedParameterError as UnsupportedParameterError
    from shared_core.errors import UnsupportedTaskError as UnsupportedTaskError
    from shared_core.hub.facts import HubTask as HubTask
    from shared_core.hub.facts import ModelCard as ModelCard
    from shared_core.hub.facts import PartnerModel as PartnerModel
    from shared_core.hub.limits import HubRateLimit as HubRateLimit
    from shared_core.hub.types import HubModel as HubModel
    from shared_core.hub.types import ModelStatus as ModelStatus
    from shared_core.hub.types import Organization as Organization
    from shared_core.hub.types import ProviderInfo as ProviderInfo
    from shared_core.hub.types import RouterModel as RouterModel
    from shared_core.hub.types import WhoAmI as WhoAmI
    from shared_core.local import LocalModelError as LocalModelError
    from shared_core.local import LocalModels as LocalModels
    from shared_core.local import LocalParts as LocalParts
    from shared_core.local import LocalTask as LocalTask
    from shared_core.media.draw import draw_boxes as draw_boxes
    from shared_core.media.draw import draw_masks as draw_masks
    from shared_core.media.output import Media as Media
    from shared_core.providers.base import Job as Job
    from shared_core.providers.base import ProviderMapping as ProviderMapping
    from shared_core.providers.mapping import MappingCache as MappingCache
    from shared_core.resilience.budget import Budget as Budget
    from shared_core.resilience.budget import SpendLimit as SpendLimit
    from shared_core.resilience.budget import UsageReport as UsageReport
    from shared_core.resilience.cache import Cache as Cache
    from shared_core.resilience.cache import CacheStats as CacheStats
    from shared_core.resilience.cache_redis import RedisStore as RedisStore
    from shared_core.resilience.cache_stores import MemoryStore as MemoryStore
    from shared_core.resilience.cache_stores import SQLiteStore as SQLiteStore
    from shared_core.resilience.circuit_breaker import BreakerPolicy as BreakerPolicy
    from shared_core.resilience.circuit_breaker import CircuitBreaker as CircuitBreaker
    from shared_core.resilience.failover import Failover as Failover
    from shared_core.resilience.failover import FailoverEndpoint as FailoverEndpoint
    from shared_core.resilience.health import AsyncHealthChecks as AsyncHealthChecks
    from shared_core.resilience.health import HealthChecks as HealthChecks
    from shared_core.resilience.health import HealthPolicy as HealthPolicy
    from shared_core.resilience.pipeline import Resilience as Resilience
    from shared_core.resilience.prices import Price as Price
    from shared_core.resilience.prices import Prices as Prices
    from shared_core.resilience.rate_limiter import RateLimit as RateLimit
    from shared_core.resilience.rate_limiter import RateLimiter as RateLimiter
    from shared_core.resilience.retry import RetryPolicy as RetryPolicy
    from shared_core.resilience.selectors import Priority as Priority
    from shared_core.resilience.selectors import Random as Random
    from shared_core.resilience.selectors import RoundRobin as RoundRobin
    from shared_core.resilience.selectors import Sticky as Sticky
    from shared_core.resilience.shared_limits import RedisLimitStore as RedisLimitStore
    from shared_core.responses.items import FunctionCall as FunctionCall
    from shared_core.responses.items import FunctionCallOutput as FunctionCallOutput
    from shared_core.responses.items import MCPApprovalRequest as MCPApprovalRequest
    from shared_core.responses.items import MCPApprovalResponse as MCPApprovalResponse
    from shared_core.responses.items import MCPCall as MCPCall
    from shared_core.responses.items import MCPListTools as MCPListTools
    from shared_core.responses.items import OutputItem as OutputItem
    from shared_core.responses.items import OutputMessage as OutputMessage
    from shared_core.responses.items import ReasoningItem as ReasoningItem
    from shared_core.responses.params import MCPTool as MCPTool
    from shared_core.responses.params import ResponseParams as ResponseParams
    from shared_core.responses.stream import AsyncResponseStream as AsyncResponseStream
    from shared_core.responses.stream import ResponseStream as ResponseStream
    from shared_core.responses.types import Response as Response
    from shared_core.responses.types import ResponseUpdate as ResponseUpdate
    from shared_core.servers.types import ServerInfo as ServerInfo
    from shared_core.tasks.generated import Generation as Generation
    from shared_core.tasks.generated import GenerationChunk as GenerationChunk
    from shared_core.tasks.generated import GenerationDetails as GenerationDetails
    from shared_core.tasks.generated import Token as Token
    from shared_core.tasks.media_results import Box as Box
    from shared_core.tasks.media_results import Depth as Depth
    from shared_core.tasks.media_results import Detection as Detection
    from shared_core.tasks.media_results import Segment as Segment
    from shared_core.tasks.media_results import Sound as Sound
    from shared_core.tasks.media_results import SpokenChunk as SpokenChunk
    from shared_core.tasks.media_results import Transcription as Transcription
    from shared_core.tasks.results import Answer as Answer
    from shared_core.tasks.results import Entity as Entity
    from shared_core.tasks.results import Filling as Filling
    from shared_core.tasks.results import Label as Label
    from shared_core.tasks.results import Ranked as Ranked
    from shared_core.tasks.results import TableAnswer as TableAnswer
    from shared_core.tasks.results import WrittenText as WrittenText
    from shared_core.tasks.spec import JobProgress as JobProgress
    from shared_core.tasks.spec import Payload as Payload
    from shared_core.tasks.spec import TaskSpec as TaskSpec
    from shared_core.tasks.stream import AsyncTextStream as AsyncTextStream
    from shared_core.tasks.stream import TextStream as TextStream
    from shared_core.tasks.table import TASKS as TASKS
    from shared_core.telemetry.logs import CallLogger as CallLogger
    from shared_core.telemetry.metrics import Metrics as Metrics
    from shared_core.telemetry.metrics import MetricsSnapshot as MetricsSnapshot
    from shared_core.telemetry.otel import OpenTelemetry as OpenTelemetry
    from shared_core.telemetry.prometheus import exposition as exposition
    from shared_core.tokens import CharacterCounter as CharacterCounter
    from shared_core.tokens import TokenCounter as TokenCounter
    from shared_core.tokens import TokenizerCounter as TokenizerCounter
    from shared_core.tokens import WordCounter as WordCounter
    from shared_core.tokens import token_counter as token_counter

__version__ = "0.1.0"

# Module -> the public names that it defines. The imports above say the same to type
# checkers; a test keeps the two equal.
_HOMES: dict[str, tuple[str, ...]] = {
    "shared_core.callbacks": (
        "BudgetEvent",
        "CacheEvent",
        "CallEndEvent",
        "CallStartEvent",
        "Callback",
        "ChunkEvent",
        "CircuitEvent",
        "ErrorEvent",
        "FailoverEvent",
        "RateLimitEvent",
        "RequestEvent",
        "ResponseEvent",
        "RetryEvent",
        "StreamCompleteEvent",
    ),
    "shared_core.chat.params": ("ChatParams",),
    "shared_core.chat.stream": ("AsyncChatStream", "ChatStream"),
    "shared_core.chat.structured": ("json_schema_format", "parse_json_text", "parse_structured"),
    "shared_core.chat.tools": ("tool_spec",),
    "shared_core.chat.types": (
        "AudioPart",
        "ChatChunk",
        "ChatCompletion",
        "ChatMessage",
        "Choice",
        "FilePart",
        "ImagePart",
        "RawPart",
        "TextPart",
        "ToolCall",
        "ToolCallDelta",
        "Usage",
        "VideoPart",
    ),
    "shared_core.client": ("AsyncRouterClient", "RouterClient"),
    "shared_core.config.dynamic": ("ClientConfig",),
    "shared_core.config.settings": ("Limits", "Settings", "TLSSettings"),
    "shared_core.config.store": ("ConfigStore",),
    "shared_core.config.validate": ("unknown_keyword",),
    "shared_core.constants": ("CUT_REASONS", "ChatModels", "EmbeddingModels"),
    "shared_core.embeddings.search": ("SearchHit", "SemanticIndex"),
    "shared_core.embeddings.similarity": ("most_similar",),
    "shared_core.embeddings.types": ("EmbeddingResult", "EmbeddingUsage", "SparseVector"),
    "shared_core.endpoints.async_handle": ("AsyncEndpoint",),
    "shared_core.endpoints.handle": ("Endpoint",),
    "shared_core.endpoints.types": ("EndpointInfo", "Hardware"),
    "shared_core.errors": (
        "APIConnectionError",
        "APIError",
        "APIResponseValidationError",
        "APIStatusError",
        "APITimeoutError",
        "AnonymousRateLimitError",
        "AuthenticationError",
        "BadRequestError",
        "BudgetExceededError",
        "CircuitOpenError",
        "ClientBlockedError",
        "ConfigurationError",
        "ConflictError",
        "ConnectFailedError",
        "ConnectionLostError",
        "ContentFilterError",
        "ContextLengthError",
        "DeadlineExceededError",
        "EndpointFailedError",
        "EndpointTimeoutError",
        "GatedModelError",
        "GatewayTimeoutError",
        "GenerationFailedError",
        "IncompleteResponseError",
        "InternalServerError",
        "InvalidSettingError",
        "JobFailedError",
        "JobTimeoutError",
        "MissingTokenError",
        "ModelLoadingError",
        "ModelNotFoundError",
        "ModelNotSupportedError",
        "ModelOutputError",
        "NameResolutionError",
        "NoEndpointAvailableError",
        "NotChatModelError",
        "NotFoundError",
        "NotImplementedByServerError",
        "PaymentRequiredError",
        "PermissionDeniedError",
        "ProviderNotBillableError",
        "ProxyAuthenticationError",
        "ProxyError",
        "ProxyUnavailableError",
        "RateLimitError",
        "RateLimiterRejectedError",
        "RedirectRefusedError",
        "RejectedError",
        "RequestTimeoutError",
        "RequestTooLargeError",
        "ResponseFailedError",
        "ResponseTooLargeError",
        "RouterError",
        "ServiceUnavailableError",
        "StoreUnavailableError",
        "StreamError",
        "StreamEventError",
        "StreamInterruptedError",
        "StreamTimeoutError",
        "StructuredOutputError",
        "TLSError",
        "ToolArgumentsError",
        "UnprocessableEntityError",
        "UnsupportedFeatureError",
        "UnsupportedParameterError",
        "UnsupportedTaskError",
    ),
    "shared_core.hub.facts": ("HubTask", "ModelCard", "PartnerModel"),
    "shared_core.hub.limits": ("HubRateLimit",),
    "shared_core.hub.types": (
        "HubModel",
        "ModelStatus",
        "Organization",
        "ProviderInfo",
        "RouterModel",
        "WhoAmI",
    ),
    "shared_core.local": ("LocalModelError", "LocalModels", "LocalParts", "LocalTask"),
    "shared_core.media.draw": ("draw_boxes", "draw_masks"),
    "shared_core.media.output": ("Media",),
    "shared_core.providers.base": ("Job", "ProviderMapping"),
    "shared_core.providers.mapping": ("MappingCache",),
    "shared_core.resilience.budget": ("Budget", "SpendLimit", "UsageReport"),
    "shared_core.resilience.cache": ("Cache", "CacheStats"),
    "shared_core.resilience.cache_redis": ("RedisStore",),
    "shared_core.resilience.cache_stores": ("MemoryStore", "SQLiteStore"),
    "shared_core.resilience.circuit_breaker": ("BreakerPolicy", "CircuitBreaker"),
    "shared_core.resilience.failover": ("Failover", "FailoverEndpoint"),
    "shared_core.resilience.selectors": ("Priority", "Random", "RoundRobin", "Sticky"),
    "shared_core.resilience.health": ("AsyncHealthChecks", "HealthChecks", "HealthPolicy"),
    "shared_core.resilience.pipeline": ("Resilience",),
    "shared_core.resilience.prices": ("Price", "Prices"),
    "shared_core.resilience.rate_limiter": ("RateLimit", "RateLimiter"),
    "shared_core.resilience.retry": ("RetryPolicy",),
    "shared_core.resilience.shared_limits": ("RedisLimitStore",),
    "shared_core.responses.items": (
        "FunctionCall",
        "FunctionCallOutput",
        "MCPApprovalRequest",
        "MCPApprovalResponse",
        "MCPCall",
        "MCPListTools",
        "OutputItem",
        "OutputMessage",
        "ReasoningItem",
    ),
    "shared_core.responses.params": ("MCPTool", "ResponseParams"),
    "shared_core.responses.stream": ("AsyncResponseStream", "ResponseStream"),
    "shared_core.responses.types": ("Response", "ResponseUpdate"),
    "shared_core.servers.types": ("ServerInfo",),
    "shared_core.tasks.generated": ("Generation", "GenerationChunk", "GenerationDetails", "Token"),
    "shared_core.tasks.media_results": (
        "Box",
        "Depth",
        "Detection",
        "Segment",
        "Sound",
        "SpokenChunk",
        "Transcription",
    ),
    "shared_core.tasks.results": (
        "Answer",
        "Entity",
        "Filling",
        "Label",
        "Ranked",
        "TableAnswer",
        "WrittenText",
    ),
    "shared_core.tasks.spec": ("JobProgress", "Payload", "TaskSpec"),
    "shared_core.tasks.table": ("TASKS",),
    "shared_core.tasks.stream": ("AsyncTextStream", "TextStream"),
    "shared_core.telemetry.logs": ("CallLogger",),
    "shared_core.telemetry.metrics": ("Metrics", "MetricsSnapshot"),
    "shared_core.telemetry.otel": ("OpenTelemetry",),
    "shared_core.telemetry.prometheus": ("exposition",),
    "shared_core.tokens": (
        "CharacterCounter",
        "TokenCounter",
        "TokenizerCounter",
        "WordCounter",
        "token_counter",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, "__version__"])


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
