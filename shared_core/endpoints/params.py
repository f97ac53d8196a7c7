"""What an endpoint is made of, checked before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from shared_core.config.checks import boolean, number, refused, text, whole_number
from shared_core.config.plain import plain
from shared_core.config.validate import unknown_keyword
from shared_core.errors import InvalidSettingError

# All of these: protocol.md 10.2.
NAME = re.compile(r"[a-z0-9-]{1,32}")
"""Names of endpoints."""
TYPES = ("private", "authenticated", "public", "protected")
ACCELERATORS = ("cpu", "gpu", "neuron", "zero_gpu")
FRAMEWORKS = ("pytorch", "custom", "llamacpp")
PLAIN_IMAGES = ("huggingface", "huggingfaceNeuron")
IMAGES = (
    *PLAIN_IMAGES,
    "custom",
    "vLLM",
    "vLLMOmni",
    "vLLMNeuron",
    "sGLang",
    "tgi",
    "tgiNeuron",
    "tei",
    "llamacpp",
    "hfServe",
)
"""Kinds of containers; all but the first two need a ``url``."""

_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


class EndpointParams(TypedDict, total=False):
    """What can be said about an endpoint, in ``create`` and ``update``; None is not sent.

    Attributes:
        repository: Model, e.g. ``"acme/chat-8b"``.
        revision: Its revision.
        framework: ``"pytorch"`` (default of ``create``), ``"custom"`` or ``"llamacpp"``.
        task: e.g. ``"text-generation"``.
        image: Container: ``"huggingface"`` (default of ``create``), ``{"vLLM": {"url": ...}}``
            and the like, or ``{"url": ...}``, which is a custom one. An update replaces it whole:
            start from :attr:`EndpointInfo.image_settings`.
        command: Command of the container.
        args: Arguments of the container.
        env: Environment variables.
        secrets: Environment variables that are never shown again.
        accelerator: ``"cpu"``, ``"gpu"``, ``"neuron"`` or ``"zero_gpu"``.
        instance_type: e.g. ``"nvidia-l4"``; ``hardware()`` lists them.
        instance_size: e.g. ``"x1"``.
        vendor: ``"aws"``, ``"gcp"`` ...
        region: e.g. ``"us-east-1"``.
        min_replica: Fewest machines; 0 (default of ``create``) scales to zero when idle.
        max_replica: Most machines, default of ``create`` 1.
        scale_to_zero_timeout: Minutes without a call before scaling to zero; needs
            ``min_replica=0``.
        scale_on_pending_requests: Requests waiting per machine that start another one.
        scale_on_hardware_usage: Percent of use that starts another machine.
        type: Who may call: ``"private"`` (you and your organisation, default of ``create``),
            ``"authenticated"`` (everybody with an account) or ``"public"``.
        account_id: Cloud account, for private links.
        domain: A domain of your own.
        path: Path on that domain.
        cache_http_responses: Whether answers are cached.
        tags: Tags.
        extra_body: Further fields, merged last at the top level, e.g. ``privateService``,
            ``customRouter`` or ``experimentalFeatures``.
    """

    repository: str | None
    revision: str | None
    framework: str | None
    task: str | None
    image: str | Mapping[str, Any] | None
    command: Sequence[str] | None
    args: Sequence[str] | None
    env: Mapping[str, str] | None
    secrets: Mapping[str, str] | None
    accelerator: str | None
    instance_type: str | None
    instance_size: str | None
    vendor: str | None
    region: str | None
    min_replica: int | None
    max_replica: int | None
    scale_to_zero_timeout: int | None
    scale_on_pending_requests: float | None
    scale_on_hardware_usage: float | None
    type: str | None
    account_id: str | None
    domain: str | None
    path: str | None
    cache_http_responses: bool | None
    tags: Sequence[str] | None
    extra_body: Mapping[str, Any] | None


PARAMETERS = frozenset(EndpointParams.__annotations__)
DEFAULTS: dict[str, Any] = {
    "framework": "pytorch",
    "image": "huggingface",
    "min_replica": 0,
    "max_replica": 1,
    "type": "private",
}
NEEDED = ("repository", "accelerator", "instance_type", "instance_size", "vendor", "region")


def check_name(name: Any) -> str:
    """Return the name of an endpoint if it can be one.

    Raises:
        InvalidSettingError: It has other characters than ``a-z 0-9 -``, or more than 32.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise refused("name", "1 to 32 characters of a-z 0-9 -", name)
    return name


def check_namespace(namespace: Any) -> str:
    """Return the name of a user or organisation if it can be one.

    Raises:
        InvalidSettingError: It cannot.
    """
    if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
        raise refused("namespace", "the name of a user or organisation", namespace)
    return namespace


def create_body(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body that creates an endpoint.

    Args:
        name: Its name.
        params: See :class:`EndpointParams`.

    Raises:
        InvalidSettingError: Something is missing or impossible; it is named.
    """
    given = {key: value for key, value in params.items() if value is not None}
    missing = [key for key in NEEDED if key not in given]
    if missing:
        raise InvalidSettingError(
            f"{missing[0]} is missing: a new endpoint needs {', '.join(NEEDED)}",
            setting=missing[0],
            guidance="client.endpoints.hardware() lists vendors, regions, machines and prices.",
        )
    return {"name": check_name(name), **update_body({**DEFAULTS, **given})}


def update_body(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body with those of the fields that are given.

    Raises:
        InvalidSettingError: A field is unknown or impossible.
    """
    for key in params:
        if key not in PARAMETERS:
            raise unknown_keyword(key, PARAMETERS)
    given = {key: value for key, value in params.items() if value is not None}
    parts: dict[str, dict[str, Any]] = {
        "provider": _fields(given, {"vendor": ("vendor", text), "region": ("region", text)}),
        "compute": _compute(given),
        "model": _fields(given, _MODEL),
        "route": _fields(given, {"domain": ("domain", text), "path": ("path", text)}),
    }
    body = {
        **_fields(given, _TOP),
        **{key: part for key, part in parts.items() if part},
    }
    extra = given.get("extra_body")
    if extra is not None and not isinstance(extra, Mapping):
        raise refused("extra_body", "a dict", extra, show=False)
    body.update(plain(extra or {}, "extra_body"))
    if not body:
        raise InvalidSettingError("nothing is to be changed: name at least one field")
    return body


def _fields(given: Mapping[str, Any], table: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    return {
        wire: check(name, given[name]) for name, (wire, check) in table.items() if name in given
    }


def _one_of(*choices: str) -> Any:
    def check(name: str, value: Any) -> str:
        if value not in choices:
            raise refused(name, f"one of {', '.join(choices)}", value)
        return str(value)

    return check


def _texts(name: str, value: Any) -> list[str]:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise refused(name, "a list of texts", value, show=False)
    return [text(f"{name}[{at}]", item) for at, item in enumerate(value)]


def _variables(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise refused(name, "a dict of texts", value, show=False)
    for key, item in value.items():
        text(f"a key of {name}", key)
        if not isinstance(item, str):
            raise refused(f"{name}[{key!r:.60}]", "text", item, show=False)
    return dict(plain(value, name))


def image(name: str, value: Any) -> dict[str, Any]:
    """Return the container in wire form: one kind and its fields.

    Args:
        name: Name for errors.
        value: A kind, ``{kind: fields}``, or the fields of a custom one.

    Raises:
        InvalidSettingError: The kind is unknown, or the ``url`` is missing.
    """
    if isinstance(value, str):
        value = {value: {}}
    if not isinstance(value, Mapping):
        raise refused(name, "the kind of a container, or a dict", value)
    if "url" in value:
        value = {"custom": value}
    kinds = list(value)
    if len(kinds) != 1 or kinds[0] not in IMAGES:
        raise refused(name, f"a dict with one of {', '.join(IMAGES)}", kinds)
    fields = value[kinds[0]] or {}
    if not isinstance(fields, Mapping):
        raise refused(f"{name}.{kinds[0]}", "a dict", fields, show=False)
    if kinds[0] not in PLAIN_IMAGES:
        address = fields.get("url")
        if not isinstance(address, str) or not address:
            raise InvalidSettingError(
                f"{name}.{kinds[0]} needs 'url', the address of the container", setting=name
            )
    if fields.get("credentials") is not None:
        _credentials(f"{name}.{kinds[0]}.credentials", fields["credentials"])
    return {kinds[0]: plain(fields, name)}


def _credentials(name: str, value: Any) -> None:
    """Refuse what a reading of an endpoint shows in place of credentials."""
    if not isinstance(value, Mapping):
        raise refused(name, "a dict with username and password", value, show=False)
    for key in ("username", "password"):
        word = value.get(key)
        if not isinstance(word, str) or not word.strip("*•"):
            raise InvalidSettingError(
                f"{name}.{key} is missing or redacted",
                setting="image",
                guidance="The service never shows credentials again: type them anew.",
            )


def secrets_of(params: Mapping[str, Any]) -> list[str]:
    """Return what must not be seen in an error: values of ``secrets``, credentials of the image.

    Args:
        params: See :class:`EndpointParams`; checked already.
    """
    found = list((params.get("secrets") or {}).values())
    container = params.get("image")
    if isinstance(container, Mapping):
        (fields,) = image("image", container).values()
        found.append((fields.get("credentials") or {}).get("password"))
    return [secret for secret in found if secret]


def _compute(given: Mapping[str, Any]) -> dict[str, Any]:
    compute = _fields(
        given,
        {
            "accelerator": ("accelerator", _one_of(*ACCELERATORS)),
            "instance_type": ("instanceType", text),
            "instance_size": ("instanceSize", text),
        },
    )
    scaling = _fields(
        given,
        {
            "min_replica": ("minReplica", whole_number(0)),
            "max_replica": ("maxReplica", whole_number(0)),
            "scale_to_zero_timeout": ("scaleToZeroTimeout", whole_number(1)),
        },
    )
    fewest, most = scaling.get("minReplica"), scaling.get("maxReplica")
    if fewest is not None and most is not None and fewest > most:
        raise InvalidSettingError(
            f"min_replica={fewest} is more than max_replica={most}", setting="min_replica"
        )
    if fewest and "scaleToZeroTimeout" in scaling:
        raise InvalidSettingError(
            f"scale_to_zero_timeout needs min_replica=0, not {fewest}",
            setting="scale_to_zero_timeout",
        )
    measure = _fields(
        given,
        {
            "scale_on_pending_requests": ("pendingRequests", number(0, 1e6)),
            "scale_on_hardware_usage": ("hardwareUsage", number(0, 100)),
        },
    )
    if len(measure) > 1:
        raise InvalidSettingError(
            "scale_on_pending_requests and scale_on_hardware_usage exclude each other",
            setting="scale_on_pending_requests",
        )
    if measure:
        scaling["measure"] = measure
    return {**compute, "scaling": scaling} if scaling else compute


_MODEL: dict[str, tuple[str, Any]] = {
    "repository": ("repository", text),
    "revision": ("revision", text),
    "framework": ("framework", _one_of(*FRAMEWORKS)),
    "task": ("task", text),
    "image": ("image", image),
    "command": ("command", _texts),
    "args": ("args", _texts),
    "env": ("env", _variables),
    "secrets": ("secrets", _variables),
}
_TOP: dict[str, tuple[str, Any]] = {
    "type": ("type", _one_of(*TYPES)),
    "account_id": ("accountId", text),
    "cache_http_responses": ("cacheHttpResponses", boolean),
    "tags": ("tags", _texts),
}
