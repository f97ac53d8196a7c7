"""What the control plane says about endpoints and hardware: plain values.

Fields that are missing on the wire are None; everything else stays in ``raw``.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from shared_core.wire.fields import integer, mapping, real, sequence, text

FAILED = ("failed", "updateFailed")
"""States that an endpoint does not leave by itself (protocol.md 10.3)."""

SELF_SERVICE = ("huggingface", "huggingfaceNeuron")
"""Images that answer on the root of the address, in hf-inference's form (protocol.md 11.5)."""

OPENAI_IMAGES = ("vLLM", "vLLMOmni", "vLLMNeuron", "sGLang", "llamacpp", "hfServe")
"""Images whose servers have OpenAI's routes and none at the root (protocol.md 11.3 to 11.5)."""


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """An Inference Endpoint as it was when it was read.

    Attributes:
        name: Its name within the namespace.
        namespace: User or organisation that owns it.
        state: ``"pending"``, ``"initializing"``, ``"running"``, ``"updating"``,
            ``"updateFailed"``, ``"paused"`` (until resumed, not billed), ``"scaledToZero"``
            (wakes on the next call, not billed), ``"failed"``.
        message: The service's words about the state.
        error_message: Why it failed.
        url: Where it answers; None until deployed.
        type: ``"private"``, ``"authenticated"``, ``"protected"`` or ``"public"``.
        repository: Model.
        revision: Its revision.
        task: e.g. ``"text-generation"``.
        framework: ``"pytorch"``, ``"custom"`` or ``"llamacpp"``.
        image: Kind of container, e.g. ``"vLLM"``.
        vendor: Cloud, e.g. ``"aws"``.
        region: e.g. ``"us-east-1"``.
        accelerator: ``"cpu"``, ``"gpu"`` or ``"neuron"``.
        instance_type: e.g. ``"nvidia-l4"``.
        instance_size: e.g. ``"x1"``.
        min_replica: Fewest machines.
        max_replica: Most machines.
        scale_to_zero_timeout: Minutes without a call after which it scales to zero.
        ready_replica: Machines that answer now.
        target_replica: Machines wanted now.
        health_route: Path that answers 200 once it is ready.
        private_service: Name of the private link to it, where it has one.
        tags: Tags.
        created_at: ISO 8601.
        updated_at: ISO 8601.
        last_used_at: ISO 8601.
        raw: The object as it came.
    """

    name: str
    namespace: str
    state: str
    message: str | None = None
    error_message: str | None = None
    url: str | None = None
    type: str | None = None
    repository: str | None = None
    revision: str | None = None
    task: str | None = None
    framework: str | None = None
    image: str | None = None
    vendor: str | None = None
    region: str | None = None
    accelerator: str | None = None
    instance_type: str | None = None
    instance_size: str | None = None
    min_replica: int | None = None
    max_replica: int | None = None
    scale_to_zero_timeout: int | None = None
    ready_replica: int | None = None
    target_replica: int | None = None
    health_route: str = "/health"
    private_service: str | None = None
    tags: tuple[str, ...] = ()
    created_at: str | None = None
    updated_at: str | None = None
    last_used_at: str | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_running(self) -> bool:
        """Whether it is deployed and has an address; ``wait`` also asks whether it answers."""
        return self.state == "running" and self.url is not None

    @property
    def has_failed(self) -> bool:
        """Whether it failed for good."""
        return self.state in FAILED

    @property
    def base_url(self) -> str | None:
        """The ``base_url`` of a client of it; None until deployed."""
        if self.url is None or self.image in SELF_SERVICE:
            return self.url
        return f"{self.url}/v1"

    @property
    def image_settings(self) -> dict[str, Any]:
        """The container as ``update(image=...)`` wants it, to be changed and sent back whole.

        A copy without credentials, which the service does not show: add them anew.
        """
        kinds = mapping(mapping(self.raw.get("model")).get("image"))
        return {
            kind: {
                name: deepcopy(item)
                for name, item in mapping(fields).items()
                if name != "credentials"
            }
            for kind, fields in kinds.items()
        }


@dataclass(frozen=True, slots=True)
class Hardware:
    """A kind of machine in a region.

    Attributes:
        id: e.g. ``"aws-us-east-1-nvidia-l4-x1"``.
        vendor: Cloud.
        region: Region.
        accelerator: ``"cpu"``, ``"gpu"`` or ``"neuron"``.
        instance_type: e.g. ``"nvidia-l4"``.
        instance_size: e.g. ``"x1"``.
        architecture: The vendor's name of the chip.
        accelerators: Number of accelerators.
        cpus: Number of CPUs.
        memory_gb: Main memory.
        gpu_memory_gb: Memory of the accelerators.
        price_per_hour: US dollars per replica and hour, billed by the minute.
        status: ``"available"``, ``"low_availability"``, ``"not_available"``, ``"reserved"`` or
            ``"deprecated"``.
        quota: Accelerators that the account may use; None if unknown.
        used: Of these, in use.
        raw: The entry as it came.
    """

    id: str
    vendor: str
    region: str
    accelerator: str | None = None
    instance_type: str | None = None
    instance_size: str | None = None
    architecture: str | None = None
    accelerators: int | None = None
    cpus: float | None = None
    memory_gb: float | None = None
    gpu_memory_gb: float | None = None
    price_per_hour: float | None = None
    status: str | None = None
    quota: int | None = None
    used: int | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_available(self) -> bool:
        """Whether one can be had now."""
        return self.status in ("available", "low_availability")


def read_endpoint(value: Any, namespace: str) -> EndpointInfo:
    """Return the typed form of an endpoint object.

    Args:
        value: JSON value.
        namespace: Whose it is.

    Raises:
        ValueError: It is no endpoint.
    """
    if not isinstance(value, dict) or not text(value.get("name")):
        raise ValueError("the endpoint has no 'name'")
    status, model, compute = (mapping(value.get(key)) for key in ("status", "model", "compute"))
    provider, scaling = mapping(value.get("provider")), mapping(compute.get("scaling"))
    address = text(status.get("url"))
    return EndpointInfo(
        name=str(value["name"]),
        namespace=text(value.get("namespace")) or namespace,
        state=text(status.get("state")) or "unknown",
        message=text(status.get("message")),
        error_message=text(status.get("errorMessage")),
        url=address.rstrip("/") if address else None,
        type=text(value.get("type")),
        repository=text(model.get("repository")),
        revision=text(model.get("revision")),
        task=text(model.get("task")),
        framework=text(model.get("framework")),
        image=next(iter(mapping(model.get("image"))), None),
        vendor=text(provider.get("vendor")),
        region=text(provider.get("region")),
        accelerator=text(compute.get("accelerator")),
        instance_type=text(compute.get("instanceType")),
        instance_size=text(compute.get("instanceSize")),
        min_replica=integer(scaling.get("minReplica")),
        max_replica=integer(scaling.get("maxReplica")),
        scale_to_zero_timeout=integer(scaling.get("scaleToZeroTimeout")),
        ready_replica=integer(status.get("readyReplica")),
        target_replica=integer(status.get("targetReplica")),
        health_route=text(value.get("healthRoute")) or "/health",
        private_service=text(mapping(status.get("private")).get("serviceName")),
        tags=tuple(tag for tag in sequence(value.get("tags")) if isinstance(tag, str)),
        created_at=text(status.get("createdAt")),
        updated_at=text(status.get("updatedAt")),
        last_used_at=text(status.get("lastUsedAt")),
        raw=value,
    )


def read_hardware(value: Any) -> list[Hardware]:
    """Return all machines of a provider list.

    Raises:
        ValueError: There is no list.
    """
    vendors = value.get("vendors") if isinstance(value, dict) else None
    if not isinstance(vendors, list):
        raise ValueError("the hardware list has no 'vendors'")
    return [
        _machine(mapping(compute), text(vendor.get("name")) or "", text(region.get("name")) or "")
        for vendor in map(mapping, vendors)
        for region in map(mapping, sequence(vendor.get("regions")))
        for compute in sequence(region.get("computes"))
        if isinstance(compute, dict)
    ]


def _machine(compute: Mapping[str, Any], vendor: str, region: str) -> Hardware:
    quota = mapping(compute.get("quota"))
    return Hardware(
        id=text(compute.get("id")) or "",
        vendor=vendor,
        region=region,
        accelerator=text(compute.get("accelerator")),
        instance_type=text(compute.get("instanceType")),
        instance_size=text(compute.get("instanceSize")),
        architecture=text(compute.get("architecture")),
        accelerators=integer(compute.get("numAccelerators")),
        cpus=real(compute.get("numCpus")),
        memory_gb=real(compute.get("memoryGb")),
        gpu_memory_gb=real(compute.get("gpuMemoryGb")),
        price_per_hour=real(compute.get("pricePerHour")),
        status=text(compute.get("status")),
        quota=integer(quota.get("maxAccelerators")),
        used=integer(quota.get("usedAccelerators")),
        raw=dict(compute),
    )
