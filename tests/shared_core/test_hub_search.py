"""Search on the Hub, model pages and whoami, through both clients against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from shared_core import AsyncRouterClient, RouterClient, errors
from shared_core.hub import parsing
from shared_core.wire.messages import Headers, WireResponse
from tests.helpers.fault_server import FaultServer, json_reply

pytestmark = pytest.mark.anyio


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def client(server: FaultServer) -> Iterator[RouterClient]:
    with RouterClient(
        api_key="hf_test", base_url=f"{server.origin}/v1", hub_url=server.origin
    ) as client:
        yield client


HUB_DICT = {
    "id": "acme/m",
    "pipeline_tag": "feature-extraction",
    "inference": "warm",
    "inferenceProviderMapping": {
        "hf-inference": {"status": "live", "providerId": "acme/m", "task": "feature-extraction"},
        "novita": {"status": "error", "providerId": "m-1", "task": "conversational"},
    },
}


class TestHub:
    def test_info(self, server: FaultServer, client: RouterClient) -> None:
        page = {
            **HUB_DICT,
            "library_name": "transformers",
            "tags": ["conversational", 5],
            "downloads": 10,
            "likes": 2,
            "gated": "manual",
            "private": True,
            "safetensors": {"total": 27_000_000_000},
            "createdAt": "2026-01-02T03:04:05.000Z",
        }
        server.on("/api/models/acme/m", json_reply(page))
        model = client.models.info("acme/m", expand=["inferenceProviderMapping", "gated"])
        assert (model.gated, model.private, model.tags) == ("manual", True, ("conversational",))
        assert (model.parameters, model.downloads) == (27_000_000_000, 10)
        assert [provider.name for provider in model.providers] == ["hf-inference", "novita"]
        (request,) = server.requests
        assert parse_qsl(urlsplit(request.target).query) == [
            ("expand[]", "inferenceProviderMapping"),
            ("expand[]", "gated"),
        ]
        assert request.headers["authorization"] == "Bearer hf_test"

    def test_gated_and_missing(self, server: FaultServer, client: RouterClient) -> None:
        server.on("/api/models/a/b", json_reply({"error": "x"}, 403, {"X-Error-Code": "GatedRepo"}))
        with pytest.raises(errors.GatedModelError):
            client.models.info("a/b")

    @pytest.mark.parametrize("page", [[{"x": 1}], ["a/b"], [None, {"id": ""}]])
    def test_list_of_something_else_is_refused(
        self, server: FaultServer, client: RouterClient, page: list[Any]
    ) -> None:
        server.on("/api/models", json_reply(page))
        with pytest.raises(errors.APIResponseValidationError, match="no entry") as caught:
            list(client.models.search("tiny"))
        assert json.loads(caught.value.body) == page

    def test_search_sends_every_filter(self, server: FaultServer, client: RouterClient) -> None:
        server.on("/api/models", json_reply([]))
        found = client.models.search(
            ["tiny", "bert"],
            author="acme",
            filter=["conversational", "en"],
            pipeline_tag="text-generation",
            inference="warm",
            inference_provider="all",
            apps="vllm",
            gated=False,
            num_parameters="min:6B,max:128B",
            sort="downloads",
            limit=5,
            full=True,
            card_data=True,
            config=False,
        )
        assert server.requests == []  # nothing before it is needed
        assert list(found) == []
        (request,) = server.requests
        assert parse_qsl(urlsplit(request.target).query) == [
            ("search", "tiny"),
            ("search", "bert"),
            ("author", "acme"),
            ("filter", "conversational"),
            ("filter", "en"),
            ("pipeline_tag", "text-generation"),
            ("inference", "warm"),
            ("inference_provider", "all"),
            ("apps", "vllm"),
            ("gated", "false"),
            ("num_parameters", "min:6B,max:128B"),
            ("sort", "downloads"),
            ("limit", "5"),
            ("full", "true"),
            ("cardData", "true"),
            ("config", "false"),
        ]

    @pytest.mark.parametrize(
        ("bad", "name"),
        [
            ({"sort": "name"}, "sort"),
            ({"limit": 0}, "limit"),
            ({"limit": True}, "limit"),
            ({"page_size": -1}, "page_size"),
            ({"expand": ["likes"], "full": True}, "expand"),
        ],
    )
    def test_bad_arguments_are_refused_at_once(
        self, client: RouterClient, bad: dict[str, Any], name: str
    ) -> None:
        with pytest.raises(errors.InvalidSettingError) as caught:
            client.models.search("x", **bad)
        assert caught.value.setting == name

    def pages(self, server: FaultServer) -> None:
        def page(request: Any) -> Any:
            cursor = dict(parse_qsl(urlsplit(request.target).query)).get("cursor", "0")
            number = int(cursor)
            link = f'<{server.origin}/api/models?limit=2&cursor={number + 1}>; rel="next"'
            items = [{"id": f"m/{number}-{index}"} for index in range(2)]
            return json_reply(items, 200, {"Link": link} if number < 2 else {})

        server.on("/api/models", page)

    def test_pages_follow_each_other(self, server: FaultServer, client: RouterClient) -> None:
        self.pages(server)
        found = [model.id for model in client.models.search(page_size=2)]
        assert found == ["m/0-0", "m/0-1", "m/1-0", "m/1-1", "m/2-0", "m/2-1"]
        assert [urlsplit(r.target).query for r in server.requests] == [
            "limit=2",
            "limit=2&cursor=1",
            "limit=2&cursor=2",
        ]

    def test_pages_are_fetched_as_needed(self, server: FaultServer, client: RouterClient) -> None:
        self.pages(server)
        found = client.models.search(page_size=2)
        assert [next(found).id, next(found).id] == ["m/0-0", "m/0-1"]
        assert len(server.requests) == 1
        assert [m.id for m in client.models.search(page_size=2, limit=3)] == [
            *("m/0-0", "m/0-1", "m/1-0")
        ]
        assert len(server.requests) == 3
        assert len(list(client.models.search(page_size=2, limit=2))) == 2
        assert len(server.requests) == 4

    async def test_async_pages(self, server: FaultServer) -> None:
        self.pages(server)
        async with AsyncRouterClient(hub_url=server.origin) as client:
            found = [model.id async for model in client.models.search(page_size=2, limit=5)]
        assert len(found) == 5

    @pytest.mark.parametrize(
        ("link", "words"),
        [
            ('<https://evil.test/api/models?cursor=1>; rel="next"', "another host"),
            ('</api/models>; rel="next"', "this page"),
        ],
    )
    def test_pages_do_not_lead_away_or_in_circles(
        self, server: FaultServer, client: RouterClient, link: str, words: str
    ) -> None:
        server.on("/api/models", json_reply([{"id": "a/b"}], 200, {"Link": link}))
        with pytest.raises(errors.APIResponseValidationError, match=words):
            list(client.models.search())

    def test_search_result_must_be_a_list(self, server: FaultServer, client: RouterClient) -> None:
        server.on("/api/models", json_reply({"models": []}))
        with pytest.raises(errors.APIResponseValidationError, match="not a list"):
            list(client.models.search())


@pytest.mark.parametrize(
    ("header", "address"),
    [
        ("", None),
        ('<https://h/a?c=1>; rel="next"', "https://h/a?c=1"),
        ('<https://h/p>; rel="prev", <https://h/n>; rel="next"', "https://h/n"),
        ("<https://h/n>; rel=next", "https://h/n"),
        ("<" * 60_000, None),
        ('<https://h/n>; rel="nextish"', None),
        ("garbage", None),
    ],
)
def test_next_link(header: str, address: str | None) -> None:
    assert parsing.next_link(header, "https://h/a") == address


ANN: dict[str, Any] = {
    "type": "user",
    "id": "5f",
    "name": "ann",
    "fullname": "Ann",
    "email": "a@x.org",
    "canPay": False,
    "isPro": True,
    "orgs": [{"type": "org", "name": "acme", "fullname": "Acme", "canPay": True}, {"id": 1}],
}


def with_token(**token: Any) -> dict[str, Any]:
    return {**ANN, "auth": {"type": "access_token", "accessToken": token}}


class TestWhoAmI:
    def test_reads_the_account(self, server: FaultServer, client: RouterClient) -> None:
        server.on("/api/whoami-v2", json_reply(with_token(displayName="laptop", role="write")))
        me = client.whoami()
        assert (me.name, me.type, me.is_pro, me.can_pay) == ("ann", "user", True, False)
        assert [(org.name, org.can_pay) for org in me.organizations] == [("acme", True)]
        assert (me.token_name, me.token_role) == ("laptop", "write")
        assert me.can_call_inference_providers is True
        assert "a@x.org" not in repr(me)

    @pytest.mark.parametrize(
        ("token", "allowed", "billable"),
        [
            ({"role": "read"}, True, ()),
            ({"role": "fineGrained"}, None, ()),
            ({"role": "god"}, None, ()),
            ({}, None, ()),
            ({"role": "fineGrained", "fineGrained": {"global": ["discussion.write"]}}, False, ()),
            (
                {"role": "fineGrained", "fineGrained": {"global": ["inference.serverless.write"]}},
                True,
                (),
            ),
            (
                {
                    "role": "fineGrained",
                    "fineGrained": {
                        "scoped": [
                            {
                                "entity": {"name": "acme"},
                                "permissions": ["inference.serverless.write"],
                            },
                            {"entity": {"name": "ann"}, "permissions": ["repo.read"]},
                            "junk",
                        ]
                    },
                },
                True,
                ("acme",),
            ),
        ],
    )
    def test_permission(
        self, token: dict[str, Any], allowed: bool | None, billable: tuple[str, ...]
    ) -> None:
        me = parsing.read_whoami(
            with_token(**token), WireResponse(status=200, headers=Headers(), content=b"")
        )
        assert (me.can_call_inference_providers, me.billable) == (allowed, billable)

    def test_bad_token(self, server: FaultServer, client: RouterClient) -> None:
        server.on("/api/whoami-v2", json_reply({"error": "Invalid username or password."}, 401))
        with pytest.raises(errors.AuthenticationError, match="token came from argument"):
            client.whoami()

    def test_nobody(self, server: FaultServer, client: RouterClient) -> None:
        server.on("/api/whoami-v2", json_reply({"type": "user"}))
        with pytest.raises(errors.APIResponseValidationError, match="name"):
            client.whoami()

    def test_without_a_token_nothing_is_sent(
        self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with RouterClient() as client, pytest.raises(errors.MissingTokenError):
            client.whoami()

    async def test_async(self, server: FaultServer) -> None:
        server.on("/api/whoami-v2", json_reply(with_token(role="read")))
        server.on("/api/models/acme/m", json_reply(HUB_DICT))
        async with AsyncRouterClient(api_key="x", hub_url=server.origin) as client:
            assert (await client.whoami()).name == "ann"
            assert (await client.models.info("acme/m")).inference == "warm"
