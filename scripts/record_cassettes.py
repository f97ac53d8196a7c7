#!/usr/bin/env python3
"""Record ``tests/cassettes`` anew: from llama.cpp on this machine, or from the router.

    .venv/bin/python scripts/record_cassettes.py [--live] [scenario ...]

``--live`` records from the real router into ``tests/cassettes/router``; it needs a token in
``HF_TOKEN`` and spends a few cents of its credits. Secrets are removed before anything is
written; look at the difference before you commit it all the same.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shared_core import RouterClient
from tests.helpers.cassettes import CASSETTES, cassette, secrets_in
from tests.helpers.scenarios import LLAMA, ROUTER, SCENARIOS, Target
from tests.helpers.servers import LlamaServer


def record(target: Target, names: list[str], token: str) -> None:
    """Record the scenarios *names* from *target*."""
    for name in names:
        scenario = SCENARIOS[name]
        url = target.chat_url if scenario.kind == "chat" else target.embed_url
        with (
            RouterClient(api_key=token, base_url=url) as client,
            cassette(f"{target.name}/{name}", record=True),
        ):
            scenario.check(scenario.call(client, target))
        path = CASSETTES / target.name / f"{name}.yaml"
        if found := secrets_in(path.read_text(encoding="utf-8")):
            path.unlink()
            raise SystemExit(f"{path} held {len(found)} secrets; it was deleted")
        print(path.relative_to(CASSETTES.parents[1]))


def main() -> None:
    """Record what was asked for."""
    parser = argparse.ArgumentParser(description="Record tests/cassettes anew.")
    parser.add_argument("names", nargs="*", metavar="scenario", help=", ".join(SCENARIOS))
    parser.add_argument("--live", action="store_true", help="record from the real router")
    options = parser.parse_args()
    names = options.names or list(SCENARIOS)
    if options.live:
        token = os.environ.get("HF_TOKEN") or parser.error("--live needs a token in HF_TOKEN")
        record(ROUTER, names, token)
        return
    with LlamaServer("chat") as chat, LlamaServer("embed") as embed:
        target = replace(LLAMA, chat_url=f"{chat.url}/v1", embed_url=f"{embed.url}/v1")
        record(target, names, "hf_not_a_token")


if __name__ == "__main__":
    main()
