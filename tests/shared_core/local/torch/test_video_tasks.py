"""What videos show: what the library's pipeline says about the same file."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.torch_models import need

need("torch", "transformers", "PIL", "av")

from shared_core import (  # noqa: E402
    AsyncRouterClient,
    BadRequestError,
    LocalModels,
    RouterClient,
    UnsupportedFeatureError,
)
from tests.helpers import vision_models  # noqa: E402
from tests.helpers.fault_server import FaultServer, reply  # noqa: E402

TASK = "video-classification"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    names = ("videomae", "timesformer", "vivit")
    return {name: getattr(vision_models, f"write_{name}")(folder / name) for name in names}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "growing light.mp4"
    path.write_bytes(vision_models.video(frames=12))
    return path


def _client(folder: Path) -> RouterClient:
    return RouterClient(local=LocalModels(tasks={TASK: folder}, device="cpu"))


def _check(found: Any, expected: Any) -> None:
    assert [each.label for each in found] == [each["label"] for each in expected]
    assert [each.score for each in found] == pytest.approx([each["score"] for each in expected])


@pytest.mark.parametrize("name", ["videomae", "timesformer", "vivit"])
def test_classes_equal_the_pipeline(models: dict[str, Path], video: Path, name: str) -> None:
    from transformers import pipeline

    own = pipeline(TASK, model=str(models[name]), device="cpu")
    with _client(models[name]) as client:
        _check(client.tasks.video_classification(video), own(str(video)))
        _check(client.tasks.video_classification(video.read_bytes()), own(str(video)))
        options: dict[str, Any] = {"frame_sampling_rate": 3, "top_k": 2}
        spread = client.tasks.video_classification(video, **options)
        _check(spread, own(str(video), **options))
        assert len(spread) == 2
        for function in ("sigmoid", "none"):
            found = client.tasks.video_classification(video, function_to_apply=function)
            _check(found, own(str(video), function_to_apply=function))
        assert client.tasks.call(TASK, file=video) == own(str(video))


def test_some_models_take_another_number_of_frames(models: dict[str, Path], video: Path) -> None:
    from transformers import pipeline

    own = pipeline(TASK, model=str(models["timesformer"]), device="cpu")
    with _client(models["timesformer"]) as client:
        _check(
            client.tasks.video_classification(video, num_frames=6), own(str(video), num_frames=6)
        )
    with _client(models["videomae"]) as client:
        with pytest.raises(BadRequestError, match="the model takes 4 frames, not 6"):
            client.tasks.video_classification(video, num_frames=6)


def test_a_video_that_is_too_short_is_refused(models: dict[str, Path], video: Path) -> None:
    with _client(models["videomae"]) as client:
        with pytest.raises(BadRequestError, match=r"has 12 frames; .* needs 16"):
            client.tasks.video_classification(video, frame_sampling_rate=4)


def test_what_is_no_video_is_refused(models: dict[str, Path], video: Path) -> None:
    sound = vision_models.video(frames=0)
    with _client(models["videomae"]) as client:
        for content in (b"no video" * 9, video.read_bytes()[:900]):
            with pytest.raises(BadRequestError, match="cannot be read by PyAV"):
                client.tasks.video_classification(content)
        with pytest.raises(BadRequestError, match="has sound, and no video"):
            client.tasks.video_classification(sound)
        with pytest.raises(UnsupportedFeatureError, match="fetch nothing from an address"):
            client.tasks.video_classification("https://example.org/cat.mp4")
        with pytest.raises(UnsupportedFeatureError, match="does not know the parameter 'fps'"):
            client.tasks.video_classification(video, extra_parameters={"fps": 3})
        with pytest.raises(BadRequestError, match="must be whole numbers above 0"):
            client.tasks.video_classification(video, extra_parameters={"num_frames": 0})
        with pytest.raises(BadRequestError, match="function_to_apply must be"):
            client.tasks.video_classification(video, extra_parameters={"function_to_apply": "tanh"})


def test_a_list_of_other_files_opens_none_of_them(
    models: dict[str, Path], video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import av

    monkeypatch.chdir(video.parent)
    (video.parent / "plain.mp4").write_bytes(video.read_bytes())
    listed = b"ffconcat version 1.0\nfile plain.mp4\n"
    with av.open(io.BytesIO(listed)) as container:  # so PyAV by itself
        assert len(list(container.decode(video=0))) == 12
    with FaultServer() as server, _client(models["videomae"]) as client:
        server.on("*", reply(200, video.read_bytes(), {"content-type": "video/mp4"}))
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{server.url}/a.ts\n"
        manifest = f"ffconcat version 1.0\nfile {server.url}/a.mp4\noption safe 0\n"
        session = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\n"
        session += "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
        for content in (listed, *(text.encode() for text in (playlist, manifest, session))):
            with pytest.raises(BadRequestError, match="cannot be read by PyAV"):
                client.tasks.video_classification(content)
        assert server.requests == []


def test_without_pyav_the_error_names_the_command(
    models: dict[str, Path], video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with RouterClient(local=LocalModels(tasks={TASK: models["vivit"]})) as client:
        with pytest.raises(ImportError, match="Install it with: pip install av"):
            client.tasks.video_classification(video)


@pytest.mark.anyio
async def test_the_async_client_sees_the_same(models: dict[str, Path], video: Path) -> None:
    local = LocalModels(tasks={TASK: models["vivit"]}, device="cpu")
    with RouterClient(local=local) as client:
        expected = client.tasks.video_classification(video)
        kinds = {model.id: model.input_modalities for model in client.models.list()}
    assert list(kinds["local/vivit"]) == ["video"]
    async with AsyncRouterClient(local=local) as client:
        assert await client.tasks.video_classification(video) == expected
