"""Chat with models that see or hear: the taught one, and what the library itself writes."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import chat_models, media_models
from tests.helpers.chat_models import COLOUR, HELLO, ORDER
from tests.helpers.torch_models import need

need("torch", "transformers", "PIL")

from shared_core import (  # noqa: E402
    APITimeoutError,
    AsyncRouterClient,
    AudioPart,
    BadRequestError,
    ContextLengthError,
    ImagePart,
    LocalModelError,
    LocalModels,
    RouterClient,
    TextPart,
    UnsupportedFeatureError,
)

KINDS = {
    "llava": ("image",),
    "idefics3": ("image",),
    "gemma3": ("image",),
    "qwen2_audio": ("audio",),
}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def made(seeing: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    write = {
        "idefics3": chat_models.write_idefics3,
        "gemma3": chat_models.write_gemma3,
        "qwen2_audio": chat_models.write_qwen2_audio,
    }
    return {"llava": seeing, **{name: to(root / name) for name, to in write.items()}}


@pytest.fixture(scope="module")
def client(seeing: Path) -> RouterClient:
    return RouterClient(local=LocalModels(chat=seeing, device="cpu"))


def _image(colour: str) -> ImagePart:
    return ImagePart(chat_models.image(colour))


def _user(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [TextPart(p) if isinstance(p, str) else p for p in parts]}]


@pytest.mark.parametrize("colour", ["red", "blue"])
def test_the_image_is_seen(client: RouterClient, colour: str) -> None:
    question = _user(_image(colour), COLOUR)
    answer = client.chat.create(question, temperature=0)
    assert answer.text == f" It is {colour}."
    assert answer.finish_reason == "stop"
    assert answer.model == "local/seeing"
    assert answer.headers["x-local-device"] == "cpu"
    with client.chat.stream(question, temperature=0, include_usage=True) as stream:
        pieces = [chunk.text for chunk in stream if chunk.text]
        streamed = stream.result()
    assert "".join(pieces) == answer.text
    assert len(pieces) > 5
    assert streamed.usage == answer.usage
    text = client.chat.create(COLOUR, temperature=0, max_tokens=1)
    assert answer.usage is not None
    assert text.usage is not None
    assert answer.usage.prompt_tokens == text.usage.prompt_tokens + 4  # four patches
    cut = client.chat.create(question, temperature=0, stop=["is"])
    assert (cut.text, cut.finish_reason) == (" It ", "stop")


def test_parts_keep_their_places(client: RouterClient) -> None:
    for first, second in (("red", "blue"), ("blue", "red")):
        question = _user(_image(first), " and ", _image(second), ORDER)
        answer = client.chat.create(question, temperature=0)
        assert answer.text == f" {first.title()}, then {second}."


def test_text_alone_is_answered_too(client: RouterClient) -> None:
    for question in (HELLO, _user(HELLO)):
        assert client.chat.create(question, temperature=0).text == " Hello!"
    prompt = f"user: {HELLO}\nassistant:"
    assert client.tasks.text_generation(prompt, do_sample=False).text == " Hello!"


@pytest.mark.anyio
async def test_the_async_client_sees_too(seeing: Path) -> None:
    async with AsyncRouterClient(local=LocalModels(chat=seeing)) as client:
        question = _user(_image("blue"), COLOUR)
        assert (await client.chat.create(question, temperature=0)).text == " It is blue."
        async with client.chat.stream(question, temperature=0) as stream:
            assert "".join([piece async for piece in stream.text_deltas()]) == " It is blue."
        for change in ({"detail": "low"}, {"url": "https://example.org/cat.png"}):
            part = {"type": "image_url", "image_url": {"url": _url(), **change}}
            with pytest.raises(UnsupportedFeatureError):
                await client.chat.create(_user(part))


def _url(content: bytes | None = None) -> str:
    data = base64.b64encode(chat_models.image("red") if content is None else content)
    return f"data:image/png;base64,{data.decode()}"


def _own(folder: Path, kind: str) -> tuple[Any, Any]:
    """Return processor and model, loaded by the library."""
    import transformers

    processor = transformers.AutoProcessor.from_pretrained(folder)
    name = "AutoModelForMultimodalLM" if kind == "audio" else "AutoModelForImageTextToText"
    return processor, getattr(transformers, name).from_pretrained(folder).eval()


def _expected(folder: Path, kind: str, tools: Any = None, **options: Any) -> tuple[str, int, int]:
    """Return the library's own text, the tokens that it read, and those that it wrote."""
    import io
    import wave

    import numpy as np
    from PIL import Image

    processor, model = _own(folder, kind)
    if kind == "audio":
        with wave.open(io.BytesIO(chat_models.tone(440))) as file:
            sound = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 2.0**15
        part: dict[str, Any] = {"type": "audio", "audio": sound.astype(np.float32)}
    else:
        part = {"type": "image", "image": Image.open(io.BytesIO(chat_models.image("red")))}
    content = [{"type": "text", "text": "This"}, part, {"type": "text", "text": COLOUR}]
    prompt = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        tools=tools,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        add_generation_prompt=True,
    )
    written = model.generate(**prompt, max_new_tokens=24, **options)[0]
    read = prompt["input_ids"].shape[1]
    text = processor.decode(written[read:], skip_special_tokens=True)
    return text, read, len(written) - read


def _question(kind: str) -> list[dict[str, Any]]:
    part = AudioPart(chat_models.tone(440)) if kind == "audio" else _image("red")
    return _user("This", part, COLOUR)


@pytest.mark.parametrize("name", KINDS)
def test_it_writes_what_the_library_writes(made: dict[str, Path], name: str) -> None:
    import torch

    folder, (kind,) = made[name], KINDS[name]
    with RouterClient(local=LocalModels(chat=folder)) as client:
        answer = client.chat.create(_question(kind), temperature=0, max_tokens=24)
        at_random = client.chat.create(_question(kind), temperature=1.5, seed=5, max_tokens=24)
        [listed] = [each for each in client.models.list() if each.id == answer.model]
    text, read, written = _expected(folder, kind, do_sample=False)
    assert answer.usage is not None
    assert answer.text == text
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (read, written)
    torch.manual_seed(5)
    random_text, *_ = _expected(folder, kind, do_sample=True, temperature=1.5)
    assert at_random.text == random_text
    assert listed.input_modalities == ("text", kind)


@pytest.mark.parametrize("saved", [False, True])
def test_a_processor_with_a_part_for_videos_needs_no_torchvision(
    tmp_path: Path, saved: bool
) -> None:
    import io

    import torch
    import transformers
    from PIL import Image

    folder = chat_models.write_qwen2_vl(tmp_path / "video")
    if saved:  # all in one file, as transformers 5 saves it
        told = json.loads((folder / "preprocessor_config.json").read_text())
        video = {**told, "video_processor_type": "Qwen2VLVideoProcessor"}
        parts = {"image_processor": told, "video_processor": video}
        own = {"processor_class": "Qwen2VLProcessor", **parts}
        (folder / "processor_config.json").write_text(json.dumps(own))
        (folder / "preprocessor_config.json").unlink()
    image = chat_models.image("blue")
    with RouterClient(local=LocalModels(chat=folder)) as client:
        answer = client.chat.create(_user(ImagePart(image), COLOUR), temperature=0, max_tokens=24)
        other = client.chat.create(_user(_image("red"), COLOUR), temperature=0, max_tokens=24)
    # What the processor does, by hand.
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
    seen = transformers.AutoImageProcessor.from_pretrained(folder)(
        Image.open(io.BytesIO(image)), return_tensors="pt"
    )
    places = "<|image_pad|>" * int(seen["image_grid_thw"].prod() // 4)
    prompt = f"<|im_start|>user\n<|vision_start|>{places}<|vision_end|>{COLOUR}<|im_end|>\n"
    ids = tokenizer(f"{prompt}<|im_start|>assistant\n", return_tensors="pt")["input_ids"]
    kinds = (ids == tokenizer.convert_tokens_to_ids("<|image_pad|>")).long()
    written = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=kinds,
        **seen,
        max_new_tokens=24,
        do_sample=False,
    )[0]
    assert answer.text == tokenizer.decode(written[ids.shape[1] :], skip_special_tokens=True)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == ids.shape[1]
    assert other.text != answer.text


@pytest.mark.parametrize("name", ["idefics3", "gemma3", "qwen2_audio"])
def test_another_image_or_sound_is_another_answer(made: dict[str, Path], name: str) -> None:
    asked: list[Any] = [_image("red"), _image("blue")]
    if name == "qwen2_audio":
        asked = [AudioPart(chat_models.tone(440)), AudioPart(chat_models.tone(3000))]
    with RouterClient(local=LocalModels(chat=made[name])) as client:
        texts = [client.chat.create(_user(p), temperature=0, max_tokens=9).text for p in asked]
        again = client.chat.create(_user(asked[0]), temperature=0, max_tokens=9).text
    assert texts[0] != texts[1]
    assert again == texts[0]


def test_sound_comes_at_the_rate_of_the_model(made: dict[str, Path]) -> None:
    with RouterClient(local=LocalModels(chat=made["qwen2_audio"])) as client:
        usages = [
            client.chat.create(_user(AudioPart(tone)), temperature=0, max_tokens=1).usage
            for tone in (chat_models.tone(440), chat_models.tone(440, rate=8000))
        ]
    assert usages[0] == usages[1]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_other_types_of_weights(made: dict[str, Path], name: str, dtype: str) -> None:
    (kind,) = KINDS[name]
    with RouterClient(local=LocalModels(chat=made[name], dtype=dtype)) as client:
        answer = client.chat.create(_question(kind), temperature=0, max_tokens=9)
        colour = client.chat.create(_user(_image("red"), COLOUR)).text if name == "llava" else None
    assert answer.text
    assert answer.system_fingerprint == f"local-cpu-{dtype}"
    assert colour in (" It is red.", None)


def test_tools_are_told_to_a_model_that_sees(made: dict[str, Path], client: RouterClient) -> None:
    with RouterClient(local=LocalModels(chat=made["gemma3"])) as gemma:
        answer = gemma.chat.create(_question("image"), tools=[TOOL], temperature=0, max_tokens=24)
    text, read, _ = _expected(made["gemma3"], "image", [TOOL], do_sample=False)
    assert answer.usage is not None
    assert (answer.text, answer.usage.prompt_tokens) == (text, read)
    with pytest.raises(UnsupportedFeatureError, match="no tools in the form"):
        client.chat.create(HELLO, tools=[TOOL])


def test_unused_variables_of_the_template_change_nothing(client: RouterClient) -> None:
    extra = {"chat_template_kwargs": {"enable_thinking": False}}
    question = _user(_image("red"), COLOUR)
    assert client.chat.create(question, temperature=0, extra_body=extra).text == " It is red."


def test_limits_count_images(made: dict[str, Path], client: RouterClient) -> None:
    with pytest.raises(ContextLengthError, match="512 of the model"):
        client.chat.create(_user(_image("red"), COLOUR), max_tokens=480)
    with RouterClient(local=LocalModels(chat=made["gemma3"])) as gemma:
        with pytest.raises(APITimeoutError):
            gemma.chat.create(_question("image"), temperature=0, timeout=0.02)
        stream = gemma.chat.stream(_question("image"), temperature=0)
        assert next(iter(stream.text_deltas()))
        stream.close()
        assert gemma.chat.create(_question("image"), max_tokens=1, temperature=0).text


def _audio() -> dict[str, Any]:
    data = base64.b64encode(chat_models.tone(440)).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}, "fetch nothing"),
        ({"type": "image_url", "image_url": {"url": _url(), "detail": "high"}}, "detail='high'"),
        (_audio(), "reads text and images only, not content of type 'input_audio'"),
        ({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AA=="}}, "'video_url'"),
    ],
)
def test_what_it_cannot_see_is_refused(
    client: RouterClient, part: dict[str, Any], message: str
) -> None:
    for begin in (client.chat.create, client.chat.stream):
        for parts in ([part], [_image("red"), part]):
            with pytest.raises(UnsupportedFeatureError, match=message) as caught:
                begin(_user(*parts))
            assert caught.value.param == "messages"


def test_sound_may_come_at_a_data_url(made: dict[str, Path]) -> None:
    part = _audio()
    url = "data:audio/wav;base64," + part["input_audio"]["data"]
    at_url = {"type": "audio_url", "audio_url": {"url": url}}
    with RouterClient(local=LocalModels(chat=made["qwen2_audio"], device="cpu")) as client:
        first, second = (
            client.chat.create(_user(each), max_tokens=6, temperature=0) for each in (part, at_url)
        )
    assert second.text == first.text
    assert second.usage == first.usage


def test_what_a_hearing_model_cannot_read_is_refused(made: dict[str, Path]) -> None:
    address = {"type": "audio_url", "audio_url": {"url": "https://example.org/x.wav"}}
    broken = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}
    with RouterClient(local=LocalModels(chat=made["qwen2_audio"])) as client:
        with pytest.raises(UnsupportedFeatureError, match="reads text and sound only"):
            client.chat.create(_user(_image("red")))
        with pytest.raises(UnsupportedFeatureError, match="fetch nothing from an address"):
            client.chat.create(_user(address))
        with pytest.raises(BadRequestError, match="no WAV file of whole numbers"):
            client.chat.create(_user(broken))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ({"url": _url(b"no image")}, "cannot be read by Pillow"),
        ({"url": "data:image/png;base64,§§"}, "not base64"),
        ({"url": "data:image/png,abc"}, "not of the form"),
        ({}, "not of the form"),
        (None, "needs an object"),
    ],
)
def test_broken_images_are_refused(client: RouterClient, image: Any, message: str) -> None:
    with pytest.raises(BadRequestError, match=message) as caught:
        client.chat.create(_user({"type": "image_url", "image_url": image}))
    assert caught.value.param == "messages"


def test_a_place_without_an_image_is_an_error_of_ours(client: RouterClient) -> None:
    with pytest.raises(LocalModelError, match="refuse the messages"):
        client.chat.create(_user(_image("red"), "<image>"))
    assert client.chat.create(HELLO, temperature=0).text == " Hello!"


def test_without_pillow_the_error_names_the_command(
    seeing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with RouterClient(local=LocalModels(chat=seeing, dtype="float32")) as client:
        with pytest.raises(ImportError, match=r"hfrouter\[media\]"):
            client.chat.create(HELLO)


def test_without_a_processor_it_is_a_text_model(made: dict[str, Path], tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "text"
    shutil.copytree(made["gemma3"], folder, ignore=shutil.ignore_patterns("*processor*"))
    with RouterClient(local=LocalModels(chat=folder)) as client:
        assert client.chat.create(HELLO, temperature=0, max_tokens=4).text
        with pytest.raises(UnsupportedFeatureError, match="reads text only"):
            client.chat.create(_user(_image("red")))
        [listed] = [each for each in client.models.list() if each.id == "local/text"]
    assert listed.input_modalities == ("text",)


def test_a_seeing_model_with_code_of_its_own(seeing: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import save_file

    folder = tmp_path / "own"
    shutil.copytree(seeing, folder)
    weights = _own(seeing, "image")[1].state_dict()  # by the names that they have in memory
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "modeling_own.py").write_text(
        "from transformers import LlavaConfig, LlavaForConditionalGeneration\n"
        "class OwnConfig(LlavaConfig):\n"
        "    model_type = 'own'\n"
        "class Own(LlavaForConditionalGeneration):\n"
        "    config_class = OwnConfig\n"
    )
    config = (folder / "config.json").read_text()
    own = '"model_type": "own", "auto_map": {"AutoConfig": "modeling_own.OwnConfig", '
    own += '"AutoModelForImageTextToText": "modeling_own.Own"}'
    assert '"model_type": "llava"' in config
    (folder / "config.json").write_text(config.replace('"model_type": "llava"', own))
    with RouterClient(local=LocalModels(chat=folder, trust_remote_code=True)) as client:
        answer = client.chat.create(_user(_image("blue"), COLOUR), temperature=0)
    assert answer.text == " It is blue."


PROMPT = "translate: a cat"


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (chat_models.write_t5, "Seq2SeqLM"),
        (partial(chat_models.write_bart, head="ForConditionalGeneration"), "Seq2SeqLM"),
        (partial(chat_models.write_bart, head="ForCausalLM"), "CausalLM"),
    ],
)
def test_the_folder_says_whether_there_is_an_encoder(
    write: Callable[[Path], Path], kind: str, tmp_path: Path
) -> None:
    import transformers

    folder = write(tmp_path / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(folder).eval()
    ids = tokenizer(PROMPT, return_tensors="pt")["input_ids"]
    options: dict[str, Any] = {"max_new_tokens": 12, "do_sample": False}
    written = model.generate(ids, **options)[0]
    written = written[1 if kind == "Seq2SeqLM" else ids.shape[1] :]  # after what begins it
    with RouterClient(local=LocalModels(chat=folder)) as client:
        found = client.tasks.text_generation(PROMPT, details=True, **options)
        pieces = list(client.tasks.text_generation_stream(PROMPT, **options))
        with pytest.raises(UnsupportedFeatureError, match="no chat template"):
            client.chat.create(HELLO)
    assert found.text == tokenizer.decode(written, skip_special_tokens=True) != ""
    assert "".join(piece.text for piece in pieces) == found.text
    assert found.details is not None
    assert found.details.generated_tokens == len(written)


def test_prompt_and_answer_of_an_encoder_each_have_the_context(tmp_path: Path) -> None:
    folder = chat_models.write_bart(tmp_path / "model", "ForConditionalGeneration")
    options: dict[str, Any] = {"do_sample": False, "details": True}
    with RouterClient(local=LocalModels(chat=folder)) as client:
        for size in (1, 64):
            found = client.tasks.text_generation("a" * size, max_new_tokens=63, **options)
            assert found.details is not None
            assert found.details.generated_tokens > 12
        for size, limit in ((65, 1), (1, 64)):
            with pytest.raises(ContextLengthError, match="64 of the model"):
                client.tasks.text_generation("a" * size, max_new_tokens=limit, **options)


def _speaking(folder: Path) -> Path:
    import transformers

    transformers.Qwen2_5OmniConfig().save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (media_models.write_captioner, "'vision-encoder-decoder', .* no text without an image"),
        (media_models.write_image_classifier, "'vit', .* has no model of that type"),
        (_speaking, "'qwen2_5_omni', .* answers with speech too"),
        (chat_models.write_mistral3, "for want of a library: .* Torchvision"),
    ],
)
def test_what_cannot_be_run_is_refused(
    write: Callable[[Path], Path], message: str, tmp_path: Path
) -> None:
    with RouterClient(local=LocalModels(chat=write(tmp_path / "model"))) as client:
        with pytest.raises(LocalModelError, match=message):
            client.chat.create(HELLO)
        with pytest.raises(LocalModelError, match=message):
            client.tasks.text_generation("a")
