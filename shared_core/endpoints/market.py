"""What can be had: machines and prices, quotas, the catalogue. Flows, no I/O here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared_core.config.checks import text as some_text
from shared_core.constants import ENDPOINTS_URL
from shared_core.endpoints.flows import namespace_of, one_endpoint, request
from shared_core.endpoints.params import check_name, check_namespace
from shared_core.endpoints.types import EndpointInfo, Hardware, read_hardware
from shared_core.flow import Flow
from shared_core.hub.parsing import reader
from shared_core.wire.fields import text
from shared_core.wire.messages import WireResponse

if TYPE_CHECKING:
    from shared_core.core import Core

CATALOG_URL = "https://endpoints.huggingface.co"
"""Where the catalogue is (protocol.md 0), unless ``endpoints_url`` is another control plane."""


def as_it_came(value: Any, response: WireResponse) -> Any:
    """Return the JSON value of an answer whose shape nobody has specified."""
    return value


def hardware(core: Core, namespace: str | None) -> Flow[list[Hardware]]:
    """Return all machines; with a namespace those that it may use, with quotas."""
    tail = "" if namespace is None else f"/{check_namespace(namespace)}"
    asked = request(core, "GET", f"/v2/provider{tail}", "endpoints.hardware")
    return (
        yield from core.exchange(asked, reader(asked, lambda value, answer: read_hardware(value)))
    )


def quotas(core: Core, namespace: str | None) -> Flow[Any]:
    """Return the quotas of a namespace, as the service describes them."""
    owner = yield from namespace_of(core, namespace)
    asked = request(core, "GET", f"/v2/provider/quotas/{owner}", "endpoints.quotas")
    return (yield from core.exchange(asked, reader(asked, as_it_came)))


def catalog(core: Core) -> Flow[list[str]]:
    """Return the models of the catalogue."""
    asked = request(
        core, "GET", "/api/catalog/repo-list", "endpoints.catalog", base=_catalog_url(core)
    )

    def understood(value: Any, response: WireResponse) -> list[str]:
        models = value.get("models") if isinstance(value, dict) else value
        if not isinstance(models, list):
            raise ValueError("the catalogue has no 'models'")
        return [model for model in models if text(model)]

    return (yield from core.exchange(asked, reader(asked, understood)))


def deploy(
    core: Core,
    namespace: str | None,
    repository: str,
    *,
    name: str | None,
    accelerator: str | None,
) -> Flow[EndpointInfo]:
    """Create an endpoint as the catalogue recommends."""
    body = {"repoId": some_text("repository", repository)}
    if name is not None:
        body["endpointName"] = check_name(name)
    if accelerator is not None:
        body["accelerator"] = some_text("accelerator", accelerator)
    owner = yield from namespace_of(core, namespace)
    asked = request(
        core,
        "POST",
        "/api/catalog/deploy",
        "endpoints.deploy",
        json={"namespace": owner, **body},
        base=_catalog_url(core),
    )
    return (yield from one_endpoint(core, asked, owner))


def recipes(core: Core) -> Flow[Any]:
    """Return the recipes of the newer catalogue, as the service describes them."""
    asked = request(
        core, "GET", "/api/v1/catalog/list", "endpoints.recipes", base=_catalog_url(core)
    )
    return (yield from core.exchange(asked, reader(asked, as_it_came)))


def deploy_recipe(core: Core, namespace: str | None, recipe: str, *, name: str | None) -> Flow[Any]:
    """Create an endpoint by a recipe of the newer catalogue."""
    config = {} if name is None else {"name": check_name(name)}
    path = f"/api/v1/catalog/recipe/{quote(some_text('recipe', recipe), safe='')}/deploy"
    owner = yield from namespace_of(core, namespace)
    asked = request(
        core,
        "POST",
        path,
        "endpoints.deploy_recipe",
        json={"namespace": owner, "config": config},
        base=_catalog_url(core),
    )
    return (yield from core.exchange(asked, reader(asked, as_it_came)))


def _catalog_url(core: Core) -> str:
    own = core.settings.endpoints_url
    return CATALOG_URL if own == ENDPOINTS_URL else own
