"""The command in a process of its own: output, exit codes, messages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import DOCS, Command, environment

QUESTION = "How long is the warranty on the battery?"
CHAT = "The dome opens at dusk. Soup is served on Mondays. When does the dome open?"


@pytest.mark.parametrize("framework", ["langchain", "llama-index"])
def test_ask_answers_and_names_sources(process: Command, framework: str) -> None:
    done = process("ask", "--local", "--docs", str(DOCS), "--framework", framework, QUESTION)
    assert done.returncode == 0, done.stderr
    answer, _, sources = done.stdout.partition("\nSources:\n")
    assert "eighteen months" in answer
    lines = sources.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("  1. shop.txt, passage 1 (score 0.")
    assert f"Indexing {DOCS}" in done.stderr
    assert f"{framework}, local/extractive-reader" in done.stderr


def test_ask_takes_langchain_by_default_and_as_many_sources_as_asked_for(
    hfrouter: Command,
) -> None:
    done = hfrouter("ask", "--local", "--docs", str(DOCS), "--top-k", "2", QUESTION)
    assert done.returncode == 0, done.stderr
    assert "langchain, " in done.stderr
    assert len(done.stdout.partition("Sources:\n")[2].splitlines()) == 2


@pytest.mark.parametrize(
    "arguments", [("ask", "--docs", str(DOCS), QUESTION), ("chat", "Hi"), ("embed", "text")]
)
def test_without_token_and_local_the_two_ways_are_named(
    process: Command, arguments: tuple[str, ...]
) -> None:
    done = process(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    first, online, offline = done.stderr.splitlines()
    assert "two ways" in first
    assert "HF_TOKEN" in online
    assert "--local" in offline


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ask", "--local", "--docs", "nowhere", "x"), "no folder 'nowhere'"),
        (("ask", "--local", "--docs", ".", "x"), "no document in"),
        (("ask", "--docs", ".", "--top-k", "0", "x"), "at least 1"),
        (("chat", "--local", "--temperature", "9", "x"), "temperature"),
        (("embed", "--local-model", "nowhere", "x"), "no model folder 'nowhere'"),
        (("embed", "--local", "--similarity", "x"), "at least 2 texts"),
        (("embed", "--device", "cpu", "x"), "--device is for models in this process"),
        (("embed", "--backend", "numpy", "x"), "--backend is for models in this process"),
        (("embed", "--local", "--device", "cpu", "x"), "device has no effect"),
        (("chat", "--local-chat", "nowhere", "x"), "no model folder 'nowhere'"),
        (("task", "fill-mask", "a [MASK]", "--device", "cpu"), "add --local"),
        (("task", "fill-mask", "a [MASK]", "--local", "--model", "nowhere"), "'nowhere'"),
        (("chat", "--local", "--timeout", "0", "x"), "more than 0"),
        (("chat", "--base-url", "ftp://x", "x"), "base_url"),
        (("nonsense",), "invalid choice"),
        ((), "COMMAND"),
    ],
)
def test_wrong_usage_is_code_2_with_one_message(
    hfrouter: Command, arguments: tuple[str, ...], message: str
) -> None:
    done = hfrouter(*arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_help_and_version(hfrouter: Command) -> None:
    assert "Exit codes" in hfrouter("--help").stdout
    assert hfrouter("--version").stdout.startswith("hfrouter ")
    for command in ("ask", "chat", "embed", "models", "doctor"):
        assert "--local" in hfrouter(command, "--help").stdout


def test_chat_streams_one_answer(hfrouter: Command) -> None:
    done = hfrouter("chat", "--local", "--stats", CHAT)
    assert (done.returncode, done.stdout) == (0, "The dome opens at dusk.\n"), done.stderr
    assert "local/extractive-reader" in done.stderr
    assert "tokens" in done.stderr


def test_chat_reads_standard_input(hfrouter: Command) -> None:
    for arguments in (("chat", "--local"), ("chat", "--local", "-")):
        done = hfrouter(*arguments, stdin=CHAT)
        assert (done.returncode, done.stdout) == (0, "The dome opens at dusk.\n"), done.stderr


def test_a_conversation_on_a_terminal_goes_on_after_an_error(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "shared_core.cli", "chat", "--local", "--system", CHAT[:52]],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(tmp_path),
    )
    os.close(terminal)
    os.write(controller, b"When does the dome open?\n/reset\nWhat is served on Mondays?\n/exit\n")
    output, errors = process.communicate(timeout=60)
    os.close(controller)
    assert process.returncode == 0, errors
    assert "The dome opens at dusk." in output
    assert "Soup is served on Mondays." in output
    assert "/exit" in errors


def test_a_conversation_keeps_what_was_said_until_reset(
    hfrouter: Command, llama_chat_url: str
) -> None:
    lines = ["Say hello.", "", "Hello", "/reset", "What is the capital of France?"]
    done = hfrouter(
        *("chat", "--base-url", f"{llama_chat_url}/v1", "--model", "taught"),
        stdin="\n".join(lines),
        terminal=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("> ") == len(lines) + 1
    assert "ello" in done.stdout
    assert "Paris" in done.stdout


def test_a_conversation_survives_a_failing_turn(hfrouter: Command) -> None:
    done = hfrouter(
        *("chat", "--base-url", "http://127.0.0.1:9/v1"), stdin="Hi\n/exit\n", terminal=True
    )
    assert done.returncode == 0
    assert "hfrouter: " in done.stderr


def test_chat_and_models_on_a_real_server(hfrouter: Command, llama_chat_url: str) -> None:
    server = ("--base-url", f"{llama_chat_url}/v1")
    done = hfrouter("chat", *server, "--model", "taught", "--stats", "Say hello.")
    assert done.returncode == 0, done.stderr
    assert "ello" in done.stdout
    assert "taught" in done.stderr
    listed = hfrouter("models", *server)
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.startswith("MODEL")
    assert "taught" in listed.stdout
    report = hfrouter("doctor", *server, "--model", "taught", "--json")
    checks = {c["name"]: c for c in map(json.loads, report.stdout.splitlines())}
    assert checks["server"]["state"] == checks["model"]["state"] == "ok", report.stdout
    assert checks["token"]["state"] == "note"
    assert report.returncode == 0


def test_ask_on_real_servers(
    hfrouter: Command, llama_chat_url: str, llama_embed_url: str, tmp_path: Path
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("# Dome\n\nThe dome opens at dusk.\n")
    (docs / "b.md").write_text("# Kitchen\n\nLunch is served at noon.\n")
    done = hfrouter(
        *("ask", "--docs", str(docs), "--model", "taught", "--embedding-model", "minilm"),
        *("--base-url", f"{llama_chat_url}/v1", "--embedding-base-url", f"{llama_embed_url}/v1"),
        *("--max-tokens", "20", "When can I see the stars?"),
    )
    assert done.returncode == 0, done.stderr
    assert "  1. a.md, passage 1" in done.stdout


def test_embed_gives_json_lines(hfrouter: Command) -> None:
    done = hfrouter("embed", "--local", "a cat", "-", stdin="a dog\n\n日本\n")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in rows] == ["a cat", "a dog", "日本"]
    assert {len(row["embedding"]) for row in rows} == {384}


def test_embed_compares_best_first(hfrouter: Command) -> None:
    done = hfrouter("embed", "--similarity", "cat", "the stock market", "feline", "--local")
    first, second = done.stdout.splitlines()
    assert first.endswith("  feline")
    assert float(first.split()[0]) > 0.5 > float(second.split()[0])


def test_models_lists_filters_and_counts(hfrouter: Command) -> None:
    done = hfrouter("models", "--local")
    assert done.stdout.splitlines()[0].split()[0] == "MODEL"
    assert "local/extractive-reader" in done.stdout
    one = hfrouter("models", "--search", "MINI", "--json", "--local")
    assert json.loads(one.stdout)["id"] == "local/all-MiniLM-L6-v2"
    assert "1 of 2" in one.stderr
    assert hfrouter("models", "--provider", "groq", "--local").stdout == ""


def test_doctor_local_is_well(hfrouter: Command) -> None:
    done = hfrouter("doctor", "--local")
    assert done.returncode == 0, done.stdout
    assert "[  ok  ] weights: local/all-MiniLM-L6-v2" in done.stdout
    assert "dome opens at dusk" in done.stdout


def test_doctor_without_token_fails_with_the_fix(hfrouter: Command) -> None:
    # Nobody listens on port 9: the name is huggingface.co only for the token rule.
    done = hfrouter("doctor", "--base-url", "http://127.0.0.1:9/v1", "--timeout", "5")
    assert done.returncode == 1
    assert "[failed] server:" in done.stdout
    assert "fix:" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_dead_server_is_code_1_with_guidance(process: Command) -> None:
    done = process("chat", "--base-url", "http://127.0.0.1:9/v1", "Hi")
    assert done.returncode == 1
    assert done.stdout == ""
    first, guidance = done.stderr.splitlines()
    assert first.startswith("hfrouter: ")
    assert "base_url" in guidance
    debug = process("chat", "--debug", "--base-url", "http://127.0.0.1:9/v1", "Hi")
    assert "Traceback" in debug.stderr


def test_the_token_is_never_printed(process: Command) -> None:
    token = "hf_" + "s3cret" * 6
    for arguments in (
        ("doctor", "--base-url", "http://127.0.0.1:9/v1"),
        ("chat", "--debug", "--base-url", "http://127.0.0.1:9/v1", "Hi"),
    ):
        done = process(*arguments, HF_TOKEN=token, HF_ENDPOINT="http://127.0.0.1:9")
        assert "s3cret" not in done.stdout + done.stderr
    assert (
        "HF_TOKEN"
        in process(
            "doctor",
            "--base-url",
            "http://127.0.0.1:9",
            HF_TOKEN=token,
            HF_ENDPOINT="http://127.0.0.1:9",
        ).stdout
    )


def _start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "shared_core.cli", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(tmp_path) | {"PYTHONUNBUFFERED": "1"},
    )


def test_ctrl_c_ends_quietly_with_130(tmp_path: Path) -> None:
    process = _start(tmp_path, "ask", "--local", "--docs", str(DOCS), QUESTION)
    assert process.stderr is not None
    process.stderr.read(10)  # the progress bar has begun
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_reader_that_goes_away_is_no_error_message(tmp_path: Path) -> None:
    process = _start(tmp_path, "embed", "--local", "-")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    process.stdin.write("text\n" * 200)
    process.stdin.close()
    process.stdin = None
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.stderr is not None
    errors = process.stderr.read()
    process.stderr.close()
    assert process.returncode == 141
    assert errors == ""
