"""What a task is: how its arguments become a payload, and how an answer becomes a result.

A :class:`TaskSpec` is one row of the table in ``shared_core.tasks.table``. Its ``build``
function is the public signature of the method that the row becomes, blocking and
asynchronous; its ``result`` function turns the *normalised* answer into a typed value.
Between the two stands a codec of a provider (``shared_core.providers``), which sends the
:class:`Payload` in the provider's own form and returns the normalised answer:

* JSON tasks: the value that hf-inference answers with (protocol reference, 6.2 to 6.4), with
  its outer nesting taken off where it has one, e.g. a flat ``[{"label", "score"}]`` for
  text-classification. ``{"text", "chunks"?}`` for speech recognition.
* binary tasks (``binary_output``): a :class:`~shared_core.media.output.Media`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypedDict, TypeVar

from shared_core.config.checks import number
from shared_core.config.plain import plain
from shared_core.config.validate import check_header, check_header_value, check_timeout
from shared_core.errors import InvalidSettingError

if TYPE_CHECKING:
    from shared_core.callbacks import Callback
    from shared_core.config.settings import Settings

P = ParamSpec("P")
R = TypeVar("R", covariant=True)

_HELD = number(1, 86_400)

DEFAULT_POLL_DEADLINE = 600.0
"""Seconds that a queued job may take when the caller does not say. The official clients have no
cap; videos take minutes (protocol reference, 7.3)."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Payload:
    """The validated arguments of one call, before any provider's form.

    Attributes:
        inputs: Text, prompt or JSON value of the task. None for a task whose only input is
            a file; for a task with a file and a question, the rest (``{"question": ...}``).
        parameters: Parameters under the names of hf-inference, without None.
        binary: The file, when the input is one and its bytes are at hand.
        media_type: Its media type, None if unknown.
        url: The file's address, when the caller gave one that is to be passed on. Exactly
            one of ``binary`` and ``url`` is set for a task with a file.
        extra: Further top-level fields of the task's body on hf-inference.
    """

    inputs: Any = None
    parameters: dict[str, Any] = field(default_factory=dict)
    binary: bytes | None = None
    media_type: str | None = None
    url: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        # Tracebacks that show locals must not show what the user sends.
        size = "" if self.binary is None else f", {len(self.binary)} bytes"
        return f"<Payload with {', '.join(self.parameters) or 'no parameters'}{size}>"

    @property
    def has_media(self) -> bool:
        """Whether there is a file, as bytes or as an address."""
        return self.binary is not None or self.url is not None

    def base64_text(self) -> str:
        """Return the file as base64 text, without a prefix.

        Raises:
            InvalidSettingError: There are no bytes: no file was given, or only its address.
        """
        return base64.b64encode(self.content()).decode("ascii")

    def content(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            InvalidSettingError: There are none: no file was given, or only its address.
        """
        if not self.has_media:
            raise InvalidSettingError(
                "file is missing: this task takes a file here, and only inputs were given",
                guidance="Pass file= with bytes, a path or an address; inputs goes along with it.",
                setting="file",
            )
        if self.binary is None:
            raise InvalidSettingError(
                "this provider takes the file itself, not its address",
                guidance="Pass fetch_urls=True to download it first (without your token), or "
                "pass bytes or a path.",
                setting="fetch_urls",
            )
        return self.binary

    def media_url(
        self, default: str = "application/octet-stream", rename: Mapping[str, str] | None = None
    ) -> str:
        """Return the file's address as it was given, else the file as a data URL.

        Args:
            default: Media type to write when it is unknown.
            rename: Media type -> the one that the provider wants to read.

        Raises:
            InvalidSettingError: No file was given.
        """
        if self.url is not None:
            return self.url
        kind = (self.media_type or default).replace(" ", "")
        kind = (rename or {}).get(kind.partition(";")[0], kind)
        return f"data:{kind};base64,{self.base64_text()}"

    def with_parameters(self, extra: Any) -> Payload:
        """Return this payload with further parameters; one that is None is taken out.

        Args:
            extra: The caller's ``extra_parameters``, or None.

        Raises:
            InvalidSettingError: It is not a dict of JSON values.
        """
        if extra is None:
            return self
        merged = {
            **self.parameters,
            **plain(_mapping("extra_parameters", extra), "extra_parameters"),
        }
        return replace(self, parameters={k: v for k, v in merged.items() if v is not None})

    def with_file(self, content: bytes, media_type: str | None) -> Payload:
        """Return this payload with the bytes of its file in place of the address."""
        return replace(self, binary=content, media_type=media_type, url=None)


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Where a queued job stands.

    Attributes:
        provider: Who runs it.
        job_id: The provider's id, if it gave one.
        status: The provider's word, e.g. ``"IN_QUEUE"``.
        elapsed: Seconds since the job was sent.
        polls: How often its status was asked for.
        raw: The last status answer.
    """

    provider: str
    job_id: str | None
    status: str
    elapsed: float
    polls: int
    raw: Any = None


class Call(TypedDict, total=False):
    """Keywords that every task takes besides its own.

    Attributes:
        model: Hub id, or the ``http(s)://`` address of a server of your own. By default the
            client's ``model``.
        provider: Who serves the call. None is hf-inference; ``"auto"`` is the first provider
            of the model's mapping (one more request); else a name such as ``"fal-ai"``.
        provider_id: The provider's own id of the model: no mapping is looked up.
        extra_parameters: Further parameters, among those of the task; they win over them. None
            takes one out.
        extra_body: Further fields of the body; they win over all others.
        drop_unsupported: Whether a call that is refused for parameters that the model's backend
            does not know is made once more without them. The client remembers them for the model.
        extra_headers: Headers of this call.
        bill_to: Organisation that pays for this call.
        timeout: Seconds to wait for each answer; the client's by default, None for ever.
        scale_up_timeout: Seconds for which a dedicated endpoint may hold the request while it
            starts from zero (``X-Scale-Up-Timeout``), 1 to 86,400; otherwise it answers 503.
        callbacks: Told of the requests of this call, besides the client's own.
        progress: Told of each status of a queued job.
        poll_interval: Seconds between two questions about a queued job; the provider's usual
            one by default.
        poll_deadline: Seconds that a queued job may take in all, default 600; None for ever.
        fetch_urls: Download a file that is given by its address and send its bytes. The
            download carries no token.
        allow_private_urls: Whether such a download may go to a private address.
    """

    model: str | None
    provider: str | None
    provider_id: str | None
    extra_parameters: Mapping[str, Any] | None
    extra_body: Mapping[str, Any] | None
    drop_unsupported: bool
    extra_headers: Mapping[str, str] | None
    bill_to: str | None
    timeout: Any
    scale_up_timeout: float | None
    callbacks: Sequence[Callback] | None
    progress: Callable[[JobProgress], None] | None
    poll_interval: float | None
    poll_deadline: float | None
    fetch_urls: bool
    allow_private_urls: bool


CALL_KEYWORDS = frozenset(Call.__annotations__)
"""Names that are taken out before a task's own function sees the rest."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CallOptions:
    """The checked form of :class:`Call`, for codecs. Attributes as there."""

    provider_id: str | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    drop_unsupported: bool = False
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    bill_to: str | None = None
    timeout: float | None = None
    scale_up_timeout: float | None = None
    callbacks: tuple[Callback, ...] = ()
    progress: Callable[[JobProgress], None] | None = None
    poll_interval: float | None = None
    poll_deadline: float | None = DEFAULT_POLL_DEADLINE
    fetch_urls: bool = False
    allow_private_urls: bool = False

    @classmethod
    def of(cls, call: Mapping[str, Any], settings: Settings) -> CallOptions:
        """Return the options of *call*.

        Args:
            call: Keywords of :class:`Call`; ``model`` and ``provider`` are left aside.
            settings: Where the default timeout comes from.

        Raises:
            InvalidSettingError: One is refused; it is named.
        """
        deadline = call.get("poll_deadline", DEFAULT_POLL_DEADLINE)
        interval = call.get("poll_interval")
        payer, held = call.get("bill_to"), call.get("scale_up_timeout")
        timeout = check_timeout(call["timeout"]) if "timeout" in call else settings.timeout
        return cls(
            provider_id=call.get("provider_id"),
            extra_body=plain(_mapping("extra_body", call.get("extra_body")), "extra_body"),
            drop_unsupported=_flag("drop_unsupported", call.get("drop_unsupported", False)),
            extra_headers=_headers(call.get("extra_headers")),
            bill_to=None if payer is None else check_header_value(payer, setting="bill_to"),
            timeout=timeout,
            scale_up_timeout=None if held is None else _HELD("scale_up_timeout", held),
            callbacks=tuple(call.get("callbacks") or ()),
            progress=call.get("progress"),
            poll_interval=check_timeout(interval, setting="poll_interval"),
            poll_deadline=check_timeout(deadline, setting="poll_deadline"),
            fetch_urls=_flag("fetch_urls", call.get("fetch_urls", False)),
            allow_private_urls=_flag("allow_private_urls", call.get("allow_private_urls", False)),
        )

    def __repr__(self) -> str:
        # As above: headers may hold secrets.
        return f"<CallOptions timeout={self.timeout}>"

    def headers(self, own: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the headers of a request: *own*, who pays, then the caller's, which win.

        Args:
            own: What the codec sends, e.g. ``{"Accept": "image/png"}``.
        """
        headers = dict(own or {})
        if self.bill_to is not None:
            headers["X-HF-Bill-To"] = self.bill_to
        if self.scale_up_timeout is not None:
            headers["X-Scale-Up-Timeout"] = f"{self.scale_up_timeout:.0f}"
        for name, value in self.extra_headers.items():
            for known in [known for known in headers if known.lower() == name.lower()]:
                del headers[known]
            headers[name] = value
        return headers

    def merged(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return *body* with ``extra_body`` merged over it at the top level.

        A field that ``extra_body`` sets to None is taken out.

        Args:
            body: What the codec would send.
        """
        merged = {**body, **self.extra_body}
        gone = {name for name, value in self.extra_body.items() if value is None}
        return {name: value for name, value in merged.items() if name not in gone}


class Result(Protocol[R]):
    """Turns a normalised answer into the typed result."""

    def __call__(self, value: Any, /) -> R:
        """Return the result.

        Raises:
            ValueError: The value does not have the shape of the task; the text says where.
        """
        ...


@dataclass(frozen=True, slots=True)
class TaskSpec(Generic[P, R]):
    """One task.

    Attributes:
        id: The Hub's pipeline tag, e.g. ``"text-classification"``.
        build: Arguments -> payload. Its signature is the public one; it ends with
            ``**call: Unpack[Call]``, which is taken out before it is called.
        result: Normalised answer -> typed result; ``ValueError`` says what is wrong with it.
        binary_input: Whether hf-inference takes the file as the raw body.
        binary_output: Whether the answer is a file.
        description: One line for lists; the first of the build function by default.
    """

    id: str
    build: Callable[P, Payload]
    result: Result[R]
    binary_input: bool = False
    binary_output: bool = False
    description: str = ""

    @property
    def summary(self) -> str:
        """One line that says what the task does."""
        return self.description or (self.build.__doc__ or "").strip().partition("\n")[0]


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidSettingError(
            f"{name} must be a dict with text keys, not {type(value).__name__}", setting=name
        )
    return dict(value)


def _headers(value: Any) -> Mapping[str, str]:
    headers = _mapping("extra_headers", value)
    for name, text in headers.items():
        check_header(name, text, setting="extra_headers")
    return headers


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidSettingError(
            f"{name} must be True or False, not {type(value).__name__}", setting=name
        )
    return value
