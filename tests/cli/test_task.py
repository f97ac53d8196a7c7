"""``hfrouter task`` against a scripted server in the place of router, Hub and providers."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared_core.cli import signature
from shared_core.cli.task import _parser as parser_of
from shared_core.cli.task import _Reporter as Reporter
from shared_core.tasks.spec import JobProgress
from shared_core.tasks.table import TASKS
from tests.cli.conftest import Command
from tests.helpers.fault_server import FaultServer, json_reply, reply

MODEL = "acme/m"
PLACE = f"/hf-inference/models/{MODEL}"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
LABELS = [{"label": "cat", "score": 0.9}, {"label": "dog", "score": 0.1}]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def task(hfrouter: Command, server: FaultServer) -> Command:
    def run(*arguments: str, **more: Any) -> Any:
        return hfrouter(
            "task",
            *arguments,
            HF_TOKEN="hf_" + "s3cret" * 6,
            HUGGINGFACE_BASE_URL=f"{server.url}/v1",
            HF_ENDPOINT=server.url,
            **more,
        )

    return run


def png(server: FaultServer, place: str = PLACE) -> None:
    server.on(place, reply(200, PNG, {"content-type": "image/png"}))


# --- the table --------------------------------------------------------------------------


def test_list_has_every_row(task: Command, server: FaultServer) -> None:
    done = task("--list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == list(TASKS)
    assert server.requests == []


# What a user types for the input of each annotation, and what the function then gets.
TYPED: dict[Any, tuple[list[str], Any]] = {
    str: (["some text"], "some text"),
    signature.File: (["cat.png"], "cat.png"),
    signature.TableFile: (['{"a": [1]}'], {"a": [1]}),
}


@pytest.mark.parametrize("name", TASKS)
def test_every_row_has_help_and_takes_its_input(name: str, task: Command) -> None:
    spec = TASKS[name]
    assert task(name, "--help").returncode == 0
    words: list[str] = []
    wanted: dict[str, Any] = {}
    kinds = signature._kinds(spec)
    for parameter in signature._parameters(spec):
        if parameter.kind is not parameter.KEYWORD_ONLY:
            typed, value = TYPED.get(kinds[parameter.name][0], (["a", "b"], ["a", "b"]))
            words += typed
            wanted[parameter.name] = value
    assert signature.values(parser_of(spec).parse_args(words), spec) == wanted


SAMPLES: dict[Any, tuple[list[str], Any]] = {
    int: (["3"], 3),
    float: (["0.5"], 0.5),
    str: (["x"], "x"),
    signature.Pixels: (["64x32"], (64, 32)),
}


@pytest.mark.parametrize("name", TASKS)
def test_every_option_reaches_its_parameter(name: str) -> None:
    spec = TASKS[name]
    kinds = signature._kinds(spec)
    for parameter in signature._parameters(spec):
        kind = kinds[parameter.name]
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        choices = [word for member in kind for word in signature._words(member)]
        if choices:
            typed, value = [choices[0]], choices[0]
        elif kind == (bool,):
            typed, value = [], True
        else:
            typed, value = SAMPLES.get(kind[0], (['{"a": 1}'], {"a": 1}))
            if list[str] in kind or signature.Sequence[str] in kind:
                typed, value = ["x"], "x" if str in kind else ["x"]
        options = parser_of(spec)
        for action in options._actions:
            action.required = False
            if not action.option_strings:
                action.nargs = "*" if action.nargs == "+" else "?"
        given = options.parse_args([f"--{parameter.name.replace('_', '-')}", *typed])
        found = {k: v for k, v in signature.values(given, spec).items() if v != []}
        assert found == {parameter.name: value}


@pytest.mark.parametrize(("name", "hint"), [("summarisation", "summarization"), ("zzz", "--list")])
def test_unknown_name(task: Command, server: FaultServer, name: str, hint: str) -> None:
    done = task(name, "text")
    assert (done.returncode, done.stdout) == (2, "")
    assert hint in done.stderr


def test_no_name(task: Command) -> None:
    assert "--list" in task().stderr


# --- text in, JSON out ------------------------------------------------------------------


def test_parts_of_the_generation(task: Command, server: FaultServer) -> None:
    server.on(PLACE, json_reply([{"summary_text": "kurz é"}]))
    done = task("summarization", "a text", "--model", MODEL, "--max-length", "50")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"text": "kurz é"}
    assert "é" in done.stdout
    assert [seen.json() for seen in server.requests] == [
        {"inputs": "a text", "parameters": {"generate_parameters": {"max_length": 50}}}
    ]


def test_parts_join_the_whole(task: Command, server: FaultServer) -> None:
    server.on(PLACE, json_reply([{"translation_text": "oui"}]))
    whole = ("--generate-parameters", '{"min_length": 2, "top_k": 1}', "--top-k", "5")
    assert task("translation", "yes", "--model", MODEL, *whole).returncode == 0
    sent = server.requests[0].json()["parameters"]["generate_parameters"]
    assert sent == {"min_length": 2, "top_k": 5}


def test_lists_switches_and_free_parameters(task: Command, server: FaultServer) -> None:
    server.on(PLACE, json_reply([{"label": "cat", "score": 0.9}]))
    free = ("--parameter", "beta=0.5", "--parameter", "mode=fast")
    done = task(
        "zero_shot_classification",
        "a text",
        "cat",
        "dog",
        "--no-multi-label",
        *free,
        "--model",
        MODEL,
    )
    assert json.loads(done.stdout) == [{"label": "cat", "score": 0.9}]
    assert server.requests[0].json()["parameters"] == {
        "candidate_labels": ["cat", "dog"],
        "multi_label": False,
        "beta": 0.5,
        "mode": "fast",
    }


def test_text_from_standard_input(task: Command, server: FaultServer) -> None:
    server.on(PLACE, json_reply(LABELS))
    assert task("text-classification", "-", "--model", MODEL, stdin="piped").returncode == 0
    assert server.requests[0].json() == {"inputs": "piped"}


@pytest.mark.parametrize("form", ["csv", "json", "literal"])
def test_tables(task: Command, server: FaultServer, tmp_path: Path, form: str) -> None:
    server.on(PLACE, json_reply([1.5, 2.5]))
    columns = {"size": ["1", "2"], "kind": ["a, b", "c"]}
    (tmp_path / "t.csv").write_text('size,kind\n1,"a, b"\n2,c\n', encoding="utf-8")
    (tmp_path / "t.json").write_text(json.dumps(columns), encoding="utf-8")
    given = json.dumps(columns) if form == "literal" else f"t.{form}"
    done = task("tabular-regression", given, "--model", MODEL)
    assert json.loads(done.stdout) == [1.5, 2.5]
    assert server.requests[0].json()["inputs"] == {"data": columns}


def test_vectors_are_plain_numbers(task: Command, server: FaultServer) -> None:
    server.on(f"{PLACE}/pipeline/feature-extraction", json_reply([0.5, 1.0]))
    done = task("feature-extraction", "one", "--model", MODEL, "--no-normalize")
    assert json.loads(done.stdout) == [0.5, 1.0]
    assert server.requests[0].json()["inputs"] == "one"


# --- files ------------------------------------------------------------------------------


def test_file_in(task: Command, server: FaultServer, tmp_path: Path) -> None:
    server.on(PLACE, json_reply(LABELS))
    (tmp_path / "cat.png").write_bytes(PNG)
    done = task("image-classification", "cat.png", "--model", MODEL)
    assert json.loads(done.stdout) == LABELS
    assert server.requests[0].body == PNG
    assert server.requests[0].headers["content-type"] == "image/png"


def test_file_that_is_not_there(task: Command, server: FaultServer) -> None:
    done = task("image-classification", "none.png", "--model", MODEL)
    assert done.returncode == 2
    assert "none.png" in done.stderr
    assert server.requests == []


def test_file_out(task: Command, server: FaultServer, tmp_path: Path) -> None:
    png(server)
    done = task("text-to-image", "a cat", "--model", MODEL, "--width", "64", "--out", "cat")
    assert json.loads(done.stdout) == {
        "file": "cat.png",
        "media_type": "image/png",
        "bytes": len(PNG),
    }
    assert (tmp_path / "cat.png").read_bytes() == PNG
    assert server.requests[0].json()["parameters"] == {"width": 64}


def test_file_through_pipes(
    task: Command, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    png(server)
    written = io.TextIOWrapper(io.BytesIO(), write_through=True)
    monkeypatch.setattr(sys, "stdout", written)
    assert task("text-to-image", "a cat", "--model", MODEL).returncode == 0
    assert written.buffer.getvalue() == PNG  # type: ignore[attr-defined]


def test_terminal_shows_no_file(
    task: Command, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    png(server)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    done = task("text-to-image", "a cat", "--model", MODEL)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--out" in done.stderr
    assert server.requests == [], "refused before anything is paid for"


@pytest.mark.parametrize("name", ["text-to-image", "depth-estimation"])
def test_folder_that_is_not_there(task: Command, server: FaultServer, name: str) -> None:
    done = task(name, "a", "--model", MODEL, "--out", "none/cat.png")
    assert done.returncode == 2
    assert "--out none/cat.png" in done.stderr
    assert server.requests == []


@pytest.mark.parametrize("out", [None, "mask.png"])
def test_files_inside_a_result(
    task: Command, server: FaultServer, tmp_path: Path, out: str | None
) -> None:
    mask = base64.b64encode(PNG).decode()
    segments = [{"label": label, "score": 0.5, "mask": mask} for label in ("cat", "dog")]
    server.on(PLACE, json_reply(segments))
    (tmp_path / "in.png").write_bytes(PNG)
    done = task("image-segmentation", "in.png", "--model", MODEL, *(("--out", out) if out else ()))
    found = json.loads(done.stdout)
    assert [(segment["label"], segment["mask"]["bytes"]) for segment in found] == [
        ("cat", len(PNG)),
        ("dog", len(PNG)),
    ]
    if out is None:
        assert "2 files" in done.stderr
    else:
        assert [segment["mask"]["file"] for segment in found] == ["mask-1.png", "mask-2.png"]
        assert (tmp_path / "mask-2.png").read_bytes() == PNG


# --- queued jobs and errors -------------------------------------------------------------


def test_queued_job_tells_where_it_is(task: Command, server: FaultServer, tmp_path: Path) -> None:
    job = "/fal-ai/fal-ai/wan/requests/j1"
    accepted = {"request_id": "j1", "status": "IN_QUEUE"}
    accepted["response_url"] = "https://queue.fal.run/fal-ai/wan/requests/j1"
    server.on("/fal-ai/fal-ai/wan/v2", json_reply(accepted))
    waiting = json_reply({"status": "IN_PROGRESS", "request_id": "j1"})
    ready = json_reply({"status": "COMPLETED", "request_id": "j1"})
    server.script(f"{job}/status", waiting, waiting, ready)
    server.on(job, json_reply({"video": {"url": f"{server.url}/media"}}))
    server.on("/media", reply(200, b"film", {"content-type": "video/mp4"}))
    place = ("--model", MODEL, "--provider", "fal-ai", "--provider-id", "fal-ai/wan/v2")
    done = task("text-to-video", "a cat", *place, "--poll-interval", "0.01", "--out", "cat.mp4")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cat.mp4").read_bytes() == b"film"
    told = [line for line in done.stderr.splitlines() if "IN_PROGRESS" in line]
    assert len(told) == 1
    assert told[0].startswith("fal-ai: ")
    assert "IN_PROGRESS" not in done.stdout


def test_job_that_does_not_move_is_mentioned_again(capsys: pytest.CaptureFixture[str]) -> None:
    report = Reporter()
    for at, elapsed in enumerate((0.0, 3.0, 9.0, 11.0, 12.0)):
        report(JobProgress("fal-ai", "j1", "IN_QUEUE", elapsed, at))
    told = [f"fal-ai: IN_QUEUE after {elapsed} s" for elapsed in (0, 11)]
    assert capsys.readouterr().err.splitlines() == told


def test_text_that_looks_like_an_option(task: Command, server: FaultServer) -> None:
    server.on(PLACE, json_reply(LABELS))
    assert task("--debug", "text-classification", "--model", MODEL, "--", "--cold").returncode == 0
    assert server.requests[0].json() == {"inputs": "--cold"}


def test_error_of_the_server(task: Command, server: FaultServer) -> None:
    server.on(PLACE, json_reply({"error": "unknown parameter beam"}, 400))
    done = task("fill-mask", "a [MASK]", "--model", MODEL, "--top-k", "2")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("hfrouter: ")
    assert "unknown parameter beam" in done.stderr
    assert "Traceback" not in done.stderr


def test_pair_that_nobody_serves(task: Command, server: FaultServer) -> None:
    done = task("fill-mask", "a [MASK]", "--model", MODEL, "--provider", "groq")
    assert done.returncode in (1, 2)
    assert "hf-inference" in done.stderr
    assert server.requests == []


def test_no_token(hfrouter: Command, server: FaultServer) -> None:
    done = hfrouter("task", "fill-mask", "a [MASK]", "--model", MODEL)
    assert done.returncode == 2
    assert "HF_TOKEN" in done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ("fill-mask", "x", "--top-k", "many"),
        ("fill-mask", "x", "--top-k", "0"),
        ("fill-mask",),
        ("fill-mask", "x", "--colour", "red"),
        ("fill-mask", "x", "--parameter", "novalue"),
        ("summarization", "x", "--generate-parameters", "{"),
        ("image-to-image", "http://x.test/a.png", "--target-size", "big", "--out", "o"),
        ("tabular-regression", "none.csv"),
        ("tabular-regression", "{}"),
        ("automatic-speech-recognition", "a.wav", "--return-timestamps", "never"),
    ],
    ids=" ".join,
)
def test_wrong_usage(task: Command, server: FaultServer, wrong: tuple[str, ...]) -> None:
    done = task(*wrong, "--model", MODEL)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr
    assert server.requests == []


def test_options_of_the_call_reach_it(task: Command, server: FaultServer) -> None:
    said = "The following `model_kwargs` are not used by the model: ['top_k'] (note: typos"
    server.script(PLACE, json_reply({"error": said}, 400), json_reply(LABELS))
    options = ("--model", MODEL, "--drop-unsupported", "--scale-up-timeout", "60")
    done = task("text-classification", "hello", "--top-k", "1", *options)
    assert done.returncode == 0, done.stderr
    assert [item.json() for item in server.requests] == [
        {"inputs": "hello", "parameters": {"top_k": 1}},
        {"inputs": "hello"},
    ]
    assert {item.headers["x-scale-up-timeout"] for item in server.requests} == {"60"}
