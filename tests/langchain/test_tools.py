"""The task tools: what models read, what is sent, content and artifact, files, errors."""

from __future__ import annotations

import base64
import copy
import pickle
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from langchain_core.exceptions import ModelNotFoundError
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

import langchain_hfrouter
import shared_core
from langchain_hfrouter import (
    ImageToTextTool,
    SentenceSimilarityTool,
    SpeechRecognitionTool,
    TextToImageTool,
    TextToSpeechTool,
    TranslationTool,
    ZeroShotClassificationTool,
)
from langchain_hfrouter.tools import HFRouterTool
from shared_core import Media
from tests.helpers.fault_server import FaultServer, json_reply, reply
from tests.langchain.conftest import png, wav

pytestmark = pytest.mark.anyio
SECRET = "hf_TopSecretToken0123456789"
TOOLS: list[type[HFRouterTool]] = [
    getattr(langchain_hfrouter, name) for name in langchain_hfrouter.__all__ if name[-4:] == "Tool"
]
PNG = reply(200, png(), {"content-type": "image/png"})
WAV = reply(200, wav(), {"content-type": "audio/wav"})
LABELS = json_reply([{"label": "cat", "score": 0.9}, {"label": "dog", "score": 0.1}])
IMAGE = {"image": "https://example.org/cat.png"}
SOUND = {"audio": "https://example.org/cat.wav"}
ANSWERS = json_reply([{"answer": "a cat", "score": 0.75}])
BOX = {"xmin": 1, "ymin": 2, "xmax": 30, "ymax": 40}

# Tool -> arguments, the server's answer, what the model is told.
CALLS: dict[str, tuple[dict[str, Any], Any, str]] = {
    "generate_image": ({"prompt": "a cat", "seed": 1}, PNG, "Made a file of type image/png"),
    "edit_image": ({**IMAGE, "prompt": "blue"}, PNG, "Made a file of type image/png"),
    "describe_image": (IMAGE, json_reply([{"generated_text": "a cat"}]), "a cat"),
    "answer_about_image": ({**IMAGE, "question": "What?"}, ANSWERS, "a cat (0.750)"),
    "answer_about_document": ({**IMAGE, "question": "What?"}, ANSWERS, "a cat (0.750)"),
    "classify_image": (IMAGE, LABELS, "cat: 0.900\ndog: 0.100"),
    "choose_image_label": ({**IMAGE, "candidate_labels": ["cat", "dog"]}, LABELS, "cat: 0.900"),
    "find_objects": (
        IMAGE,
        json_reply([{"label": "cat", "score": 0.9, "box": BOX}]),
        "cat: 0.900 at 1,2 to 30,40",
    ),
    "transcribe_speech": (SOUND, json_reply({"text": "Hello."}), "Hello."),
    "speak": ({"text": "Hello."}, WAV, "Made a file of type audio/wav"),
    "classify_sound": (SOUND, LABELS, "cat: 0.900"),
    "classify_text": ({"text": "Meow."}, LABELS, "cat: 0.900"),
    "choose_text_label": (
        {"text": "Meow.", "candidate_labels": ["cat", "dog"], "multi_label": True},
        json_reply({"labels": ["cat", "dog"], "scores": [0.9, 0.1]}),
        "cat: 0.900\ndog: 0.100",
    ),
    "find_entities": (
        {"text": "Ada"},
        json_reply([{"entity_group": "PER", "score": 0.9, "word": "Ada", "start": 0, "end": 3}]),
        "PER: Ada (0.900)",
    ),
    "find_answer": ({"question": "Who?", "context": "A cat."}, ANSWERS, "a cat (0.750)"),
    "summarize_text": ({"text": "Long."}, json_reply([{"summary_text": "Short."}]), "Short."),
    "translate_text": (
        {"text": "Hello.", "src_lang": "en", "tgt_lang": "de"},
        json_reply([{"translation_text": "Hallo."}]),
        "Hallo.",
    ),
    "compare_sentences": (
        {"source_sentence": "a", "sentences": ["b", "c"]},
        json_reply([0.5, 0.25]),
        "0.500\n0.250",
    ),
}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


def of(kind: type[HFRouterTool], server: FaultServer, **options: Any) -> HFRouterTool:
    return kind(**{"model": "org/m", "base_url": server.url, "api_key": "t", **options})


def call(tool: BaseTool, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_call", "id": "c1", "name": tool.name, "args": arguments}


@pytest.mark.rule("tool-schemas")
@pytest.mark.parametrize("kind", TOOLS)
def test_models_can_read_what_a_tool_takes(kind: type[HFRouterTool]) -> None:
    function = convert_to_openai_tool(kind(model="a/b"))["function"]
    assert len(function["description"]) > 20
    described = function["parameters"]["properties"]
    assert [name for name, what in described.items() if not what.get("description")] == []
    assert kind.task in dir(shared_core.RouterClient("a/b", api_key="t").tasks)
    assert kind.file_argument is None or kind.file_argument in described


def test_names_are_unique_and_every_tool_is_called_here() -> None:
    names = [kind(model="a/b").name for kind in TOOLS]
    assert sorted(names) == sorted({*CALLS, "generate_video"})


@pytest.mark.rule("artifacts")
@pytest.mark.parametrize("kind", [k for k in TOOLS if k.task != "text_to_video"])
async def test_content_and_artifact(kind: type[HFRouterTool], server: FaultServer) -> None:
    tool = of(kind, server)
    arguments, answer, told = CALLS[tool.name]
    server.on("*", answer)
    message = tool.invoke(call(tool, arguments))
    again = await tool.ainvoke(call(tool, arguments))
    assert isinstance(message, ToolMessage)
    assert message.content.startswith(told)
    assert again.content == message.content
    assert message.artifact == again.artifact
    assert message.artifact is not None
    assert tool.invoke(arguments) == message.content
    path = server.requests[0].path
    tail = "/pipeline/sentence-similarity" if kind is SentenceSimilarityTool else ""
    assert path == f"/hf-inference/models/org/m{tail}"
    assert server.requests[0].body == server.requests[1].body


def test_a_video_waits_for_its_provider(server: FaultServer) -> None:
    video = reply(200, b"\x00\x00\x00\x18ftypmp42", {"content-type": "video/mp4"})
    server.on("/own", video)
    tool = langchain_hfrouter.TextToVideoTool(model=f"{server.url}/own", api_key="t")
    message = tool.invoke(call(tool, {"prompt": "a cat"}))
    assert (message.artifact.media_type, message.artifact.content[4:8]) == ("video/mp4", b"ftyp")


def test_what_is_sent_comes_from_you_and_from_the_agent(server: FaultServer) -> None:
    server.on("*", PNG)
    tool = of(TextToImageTool, server, task_parameters={"num_inference_steps": 4, "width": 64})
    tool.invoke({"prompt": "a cat", "width": 9999, "seed": None})
    assert server.requests[0].json() == {
        "inputs": "a cat",
        "parameters": {"num_inference_steps": 4, "width": 64},
    }
    assert of(TextToSpeechTool, server).task == "text_to_speech"


def test_a_bare_text_is_the_first_argument(server: FaultServer) -> None:
    server.on("*", json_reply([{"translation_text": "Hallo."}]))
    assert of(TranslationTool, server).invoke("Hello.") == "Hallo."
    assert server.requests[0].json()["inputs"] == "Hello."


def test_an_image_that_the_model_sees(server: FaultServer) -> None:
    server.on("*", PNG)
    tool = of(TextToImageTool, server, show=True)
    message = tool.invoke(call(tool, {"prompt": "a cat"}))
    text, image = message.content
    assert text["text"].startswith("Made a file")
    assert base64.b64decode(image["base64"]) == png()
    assert image["mime_type"] == "image/png"


@pytest.mark.rule("tool-files")
def test_files_go_through_the_folder_only(server: FaultServer, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(png())
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    server.on("*", PNG)
    maker = of(TextToImageTool, server, folder=folder)
    told = maker.invoke({"prompt": "a cat"})
    name = told.rpartition("file ")[2].rstrip(".")
    assert (folder / name).read_bytes() == png()
    server.on("*", json_reply([{"generated_text": "a cat"}]))
    reader = of(ImageToTextTool, server, folder=folder)
    assert reader.invoke({"image": name}) == "a cat"
    assert server.requests[-1].body == png()
    count = len(server.requests)
    for outside in (
        "../secret.png",
        str(tmp_path / "secret.png"),
        "link.png",
        "none.png",
        ".",
        "a\0b",
        "x" * 5000,
    ):
        with pytest.raises(shared_core.InvalidSettingError, match="no file"):
            reader.invoke({"image": outside})
    with pytest.raises(shared_core.InvalidSettingError, match="http"):
        of(ImageToTextTool, server).invoke({"image": str(folder / name)})
    assert len(server.requests) == count


def test_data_urls_are_files_too(server: FaultServer) -> None:
    server.on("*", json_reply({"text": "Hello."}))
    address = f"data:audio/wav;base64,{base64.b64encode(wav()).decode()}"
    tool = of(SpeechRecognitionTool, server)
    message = tool.invoke(call(tool, {"audio": address}))
    assert (message.content, message.artifact.text) == ("Hello.", "Hello.")
    assert server.requests[0].body == wav()


@pytest.mark.rule("tool-errors")
async def test_errors_are_raised_or_told(server: FaultServer) -> None:
    server.on("*", json_reply({"error": "Model org/m not found"}, 404))
    tool = of(TranslationTool, server)
    with pytest.raises(ModelNotFoundError) as raised:
        tool.invoke({"text": "x"})
    assert isinstance(raised.value, shared_core.NotFoundError)
    with pytest.raises(ModelNotFoundError):
        await tool.ainvoke({"text": "x"})
    told = of(TranslationTool, server, handle_tool_error=True)
    for message in (
        told.invoke(call(told, {"text": "x"})),
        await told.ainvoke(call(told, {"text": "x"})),
    ):
        assert message.status == "error"
        assert "not found" in message.content


def test_nothing_found_is_said() -> None:
    from langchain_hfrouter._tool_results import in_words

    assert in_words([]) == "Nothing was found."
    assert in_words([0.5] * 25).endswith("... and 5 more")
    assert in_words(Media(b"x", "audio/flac")) == "Made a file of type audio/flac with 1 bytes."


def test_copies_and_pickles_work_after_use_and_tell_no_secret(server: FaultServer) -> None:
    server.on("*", json_reply([{"translation_text": "Hallo."}]))
    tool = of(TranslationTool, server, api_key=SECRET)
    tool.invoke("Hello.")
    data = pickle.dumps(tool)
    for text in (repr(tool), repr(tool.model_dump()), data.decode("latin-1")):
        assert SECRET not in text
    for twin in (pickle.loads(data), copy.deepcopy(tool), tool.model_copy(update={"name": "x"})):
        assert twin.invoke("Hello.") == "Hallo."


def test_an_agent_uses_them_and_its_state_is_kept(server: FaultServer) -> None:
    from langchain.agents import create_agent
    from langgraph.checkpoint.memory import InMemorySaver

    from tests.langchain.script import CHAT, model_of, whole

    wanted = {"name": "generate_image", "arguments": '{"prompt": "a cat"}'}
    server.script(
        CHAT,
        whole(None, tool_calls=[{"id": "c1", "type": "function", "function": wanted}]),
        whole("There you are."),
    )
    server.on("/hf-inference/models/org/m", PNG)
    agent = create_agent(
        model_of(server), [of(TextToImageTool, server)], checkpointer=InMemorySaver()
    )
    config: Any = {"configurable": {"thread_id": "1"}}
    messages = agent.invoke({"messages": "Draw a cat."}, config)["messages"]
    assert messages[-1].text == "There you are."
    assert messages[2].artifact.content == png()
    kept = agent.get_state(config).values["messages"][2]
    assert "Made a file" in kept.content
    # A checkpoint keeps the fields; versions differ in whether it keeps the class.
    fields = kept.artifact if isinstance(kept.artifact, dict) else asdict(kept.artifact)
    whole_media = {"content": png(), "media_type": "image/png", "url": None, "endpoint": None}
    assert fields == whole_media


@pytest.mark.rule("standard-tool-suite")
class TestStandardUnit(ToolsUnitTests):
    @property
    def tool_constructor(self) -> type[BaseTool]:
        return ZeroShotClassificationTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {"model": "a/b", "api_key": "t"}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return CALLS["choose_text_label"][0]

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"HF_TOKEN": "hf_env"}, {"model": "a/b"}, {"api_key": "hf_env"}


@pytest.mark.rule("standard-tool-suite")
class TestStandardIntegration(ToolsIntegrationTests):
    @property
    def tool_constructor(self) -> type[BaseTool]:
        return SentenceSimilarityTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {"local": True}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"source_sentence": "A dog.", "sentences": ["A puppy.", "The market fell."]}
