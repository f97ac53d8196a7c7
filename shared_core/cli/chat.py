"""``hfrouter chat``: one message, or a conversation, with the answer as it arrives."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from shared_core import ChatMessage, RouterClient, RouterError
from shared_core.cli import options as shared
from shared_core.cli.output import complain, note, write_pieces

HELP = "/reset forgets the conversation, /exit (or end of input) leaves."


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command's parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "chat",
        help="chat with a model",
        description="Send MESSAGE and print the answer as it arrives. Without MESSAGE, standard "
        f"input is the message, or on a terminal a conversation begins: {HELP}",
    )
    command.add_argument("message", nargs="*", help="the message; - reads standard input")
    command.add_argument("--system", metavar="TEXT", help="instructions to the model")
    command.add_argument(
        "--stats", action="store_true", help="tell model, provider and token counts afterwards"
    )
    shared.add_chat_model(command)
    shared.add_connection(command)
    return command


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    connection = shared.Connection.of(options)
    connection.require_token()
    keywords = connection.chat(options)
    history = [ChatMessage("system", options.system)] if options.system else []
    with RouterClient(keywords.pop("model"), **keywords) as client:
        message = _message(options.message)
        if message is None:
            return _converse(client, history, options)
        _answer(client, [*history, ChatMessage("user", message)], options)
    return 0


def _message(words: list[str]) -> str | None:
    """Return the one message to send, None for a conversation."""
    if words and words != ["-"]:
        return " ".join(words)
    if words or not sys.stdin.isatty():
        return sys.stdin.read()
    return None


def _converse(client: RouterClient, history: list[ChatMessage], options: argparse.Namespace) -> int:
    start = list(history)
    note(f"Talking to {options.model or client!r}. {HELP}")
    for line in _lines():
        if line == "/exit":
            break
        if line == "/reset":
            history = list(start)
            continue
        history.append(ChatMessage("user", line))
        try:
            history.append(ChatMessage("assistant", _answer(client, history, options)))
        except RouterError as error:
            history.pop()  # so that the next message can be sent
            complain(str(error))
        except KeyboardInterrupt:
            history.pop()
            note("\n(interrupted)")
    return 0


def _lines() -> Iterator[str]:
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            print()
            return
        if line:
            yield line


def _answer(client: RouterClient, messages: list[ChatMessage], options: argparse.Namespace) -> str:
    given = {
        "temperature": options.temperature,
        "max_tokens": options.max_tokens,
        "include_usage": True if options.stats else None,
    }
    sent: Any = {name: value for name, value in given.items() if value is not None}
    with client.chat.stream(messages, **sent) as stream:
        text = write_pieces(chunk.text for chunk in stream)
        if options.stats:
            answer = stream.result()
            usage = answer.usage
            counts = f"{usage.prompt_tokens} + {usage.completion_tokens} tokens" if usage else ""
            facts = (answer.model, answer.provider, answer.finish_reason, counts)
            note(", ".join(str(fact) for fact in facts if fact))
    return text
