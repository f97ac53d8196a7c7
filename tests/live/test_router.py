"""The scenarios of the cassettes against the real router, and what only it has.

Run with ``HF_TOKEN=hf_... python3 scripts/test.py -m live``; costs a few cents.
"""

from __future__ import annotations

import pytest

from shared_core import AsyncRouterClient, AuthenticationError, RouterClient
from tests.helpers.scenarios import ROUTER, SCENARIOS, settle

pytestmark = [pytest.mark.live, pytest.mark.anyio]

#: The taught model's prompts mean nothing to others.
TAUGHT_ONLY = {"chat_unicode", "stream_unicode"}
NAMES = [name for name in SCENARIOS if name not in TAUGHT_ONLY]


@pytest.mark.parametrize("name", NAMES)
def test_scenario_blocking(name: str) -> None:
    with RouterClient() as client:
        SCENARIOS[name].check(SCENARIOS[name].call(client, ROUTER))


@pytest.mark.parametrize("name", NAMES)
async def test_scenario_async(name: str) -> None:
    async with AsyncRouterClient() as client:
        SCENARIOS[name].check(await settle(SCENARIOS[name].call(client, ROUTER)))


def test_answer_says_who_served_it() -> None:
    with RouterClient(ROUTER.chat_model) as client:
        answer = client.chat.create("Say hello.", max_tokens=200)
    assert answer.provider
    assert answer.request_id


def test_account_and_models() -> None:
    with RouterClient() as client:
        assert client.whoami().name
        known = {model.id for model in client.models.list()}
    assert ROUTER.chat_model in known


def test_wrong_token_is_an_authentication_error() -> None:
    wrong = "hf_" + "x" * 34
    with (
        RouterClient(ROUTER.chat_model, api_key=wrong) as client,
        pytest.raises(AuthenticationError),
    ):
        client.chat.create("Hello")
