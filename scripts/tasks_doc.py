"""Write docs/tasks.md from the table of tasks, its functions, results and providers.

Run ``python scripts/tasks_doc.py`` after a change; a test compares the file with the code, and
runs every example.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "scripts"))

from _task_examples import EXAMPLES  # noqa: E402

from shared_core.media.output import Media  # noqa: E402
from shared_core.providers import registry  # noqa: E402
from shared_core.tasks import generated, media_results, results  # noqa: E402
from shared_core.tasks.method import Method  # noqa: E402
from shared_core.tasks.spec import Call, TaskSpec  # noqa: E402
from shared_core.tasks.table import Table  # noqa: E402

PAGE = ROOT / "docs" / "tasks.md"

INTRO = """\
# Tasks

<!-- Written by scripts/tasks_doc.py; change the code, then run it. -->

`client.tasks` has one method per task of the Hub. Arguments are checked before anything is sent;
the answer becomes a typed value that keeps what the server sent in `.raw`. Every method exists on
`RouterClient` and, awaitable, on `AsyncRouterClient`.

```python
from shared_core import RouterClient

client = RouterClient()
found = client.tasks.text_classification(
    "My parcel never came", model="distilbert/distilbert-base-uncased-finetuned-sst-2-english"
)
print(found[0].label, found[0].score)

image = client.tasks.text_to_image(
    "A lighthouse at dusk", model="black-forest-labs/FLUX.1-dev", provider="together"
)
image.save("lighthouse")  # the extension comes from the media type
```

A call is one request, to hf-inference unless `provider=` names somebody else. `provider="auto"`
takes the first provider of the model's mapping and asks the Hub for it first. Queued jobs of
providers wait with a deadline: see [providers](providers.md). A pair that nobody serves is refused
before the network, with the alternatives.

**A server of your own** (a dedicated endpoint, TEI, TGI) is named by its address:
`model="https://..."`, or `base_url=` of the client. The token goes to the origin of `base_url`
and to huggingface.co only, so a server that wants it is a `base_url`.

**Files.** Images, sounds and videos may be bytes, a path, a file opened with `"rb"`, a data URL,
or an `http(s)` address; images also `PIL.Image` or NumPy arrays, sounds `(samples,
sampling_rate)`. An address is passed on as it is, because many providers fetch it themselves.
`fetch_urls=True` downloads it first: without your token, and not from private addresses
(10.0.0.0/8, localhost, link-local ...) unless `allow_private_urls=True`. The address is checked
when connecting, so a name that resolves to a private address, or a redirect to one, is refused
too; with an `http_client=` of your own that check is yours.

A file that comes back is a `Media`: `.content`, `.media_type`, `.save(path)`, `.to_pil()` (with
Pillow). `shared_core.draw_boxes(image, detections)` and `draw_masks(image, segments)` draw what
was found into the image.

**Many texts to order?** `client.tasks.rerank(query, texts)` sends `text_ranking` in batches and
returns one list, the best first, with the indexes of the whole; `method="sentence-similarity"`
asks an embedding model instead, which hf-inference serves.

**Text completion** at a server of your own: `base_url="http://host/v1"` sends `text_generation`
to `/v1/completions`. It streams from there, from TGI, and from the providers in the table.

**No row for your task?** `client.tasks.call("task-id", inputs, parameters, file=...,
result=Type)` sends hf-inference's general form and checks the answer against a type of yours.
`mask-generation` and `keypoint-detection` are of this kind: the Hub lists them, but nobody has
specified their form.

**Parameters that only one model knows** go into `extra_parameters={...}`. hf-inference answers
400 (`UnsupportedParameterError`) to parameters that a model's backend does not know; they are
never dropped in silence. `drop_unsupported=True` asks once more without those that it names.

"""

TYPES = """
Types of parameters that have a name:

| name | what |
|---|---|
| `FileInput` | bytes, a path, a file opened for bytes, an `http(s)` or a `data:` address |
| `ImageInput` | `FileInput`, a `PIL.Image.Image`, or a NumPy array of pixels |
| `AudioInput` | `FileInput`, or `(samples, sampling_rate)` |
| `TableInput` | a dict of columns (lists or arrays), or a pandas `DataFrame` |
| `Activation` | `"sigmoid"`, `"softmax"` or `"none"` |
| `Truncation` | `"do_not_truncate"`, `"longest_first"`, `"only_first"` or `"only_second"` |
| `Size` | `(width, height)` or `{"width": ..., "height": ...}` |
"""


def rows() -> Iterator[tuple[str, TaskSpec[..., Any]]]:
    """Yield method name and specification of every row."""
    for name, row in vars(Table).items():
        if isinstance(row, Method):
            yield name, row.spec


def overview() -> str:
    """Return the table of all tasks."""
    lines = ["| method | task | result | providers |", "|---|---|---|---|"]
    for name, spec in rows():
        providers = ", ".join(registry.providers_of(spec.id)) or "a server of your own"
        link = f"[`{name}`](#{name})"
        lines.append(f"| {link} | {spec.id} | {_result(spec)} | {providers} |")
    return "\n".join(lines) + "\n"


def _result(spec: TaskSpec[..., Any]) -> str:
    shown = inspect.signature(spec.result).return_annotation
    return f"`{_cell(str(shown).replace('np.', ''))}`"


def reference() -> str:
    """Return one section per method."""
    parts = []
    for name, spec in rows():
        about = inspect.getdoc(spec.build) or ""
        first, _, rest = about.partition("\n\nArgs:\n")
        providers = ", ".join(registry.providers_of(spec.id)) or "a server of your own"
        facts = f"Task `{spec.id}`; returns {_result(spec)}; served by {providers}."
        lines = [f"### {name}", "", first, "", facts, ""]
        lines += ["```python", *_example(name), "```", ""]
        lines += ["| parameter | type | default | |", "|---|---|---|---|"]
        texts = dict(_arguments(rest))
        for parameter in inspect.signature(spec.build).parameters.values():
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                lines.append(_parameter(parameter, texts))
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _example(name: str) -> list[str]:
    return EXAMPLES[name].code.strip().splitlines()


def _arguments(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and text of the entries of an ``Args:`` section."""
    for found in re.finditer(r"^    (\**\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE):
        yield found[1], " ".join(found[2].split())


def _parameter(parameter: inspect.Parameter, texts: dict[str, str]) -> str:
    required = parameter.default is inspect.Parameter.empty
    kind = str(parameter.annotation).removesuffix(" | None")
    default = "required" if required else ""
    return f"| `{parameter.name}` | `{_cell(kind)}` | {default} | {_cell(texts[parameter.name])} |"


def common() -> str:
    """Return the keywords that every method takes."""
    about = inspect.getdoc(Call) or ""
    texts = dict(_arguments(about.partition("Attributes:\n")[2]))
    lines = ["| keyword | type | |", "|---|---|---|"]
    for name, kind in Call.__annotations__.items():
        shown = kind.__forward_arg__ if hasattr(kind, "__forward_arg__") else str(kind)
        shown = shown.removesuffix(" | None")
        lines.append(f"| `{name}` | `{_cell(shown)}` | {_plain(texts[name])} |")
    return "\n".join(lines) + "\n"


def result_types() -> str:
    """Return the fields of every result class."""
    lines = ["| type | fields |", "|---|---|"]
    for module in (results, media_results, generated):
        for name, cls in vars(module).items():
            if dataclasses.is_dataclass(cls) and cls.__module__ == module.__name__:
                lines.append(f"| `{name}` | {_fields(cls)} |")
    lines.append(f"| `Media` | {_fields(Media)}, `.extension`, `.save(path)`, `.to_pil()` |")
    return "\n".join(lines) + "\n"


def _fields(cls: Any) -> str:
    return ", ".join(
        f"`{field.name}: {_cell(str(field.type))}`"
        for field in dataclasses.fields(cls)
        if field.name != "raw"
    )


def _plain(text: str) -> str:
    return _cell(re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", text))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("``", "`")


def page() -> str:
    """Return the whole page."""
    return "".join(
        (
            INTRO,
            "## All tasks\n\n",
            overview(),
            "\n`text_generation_stream` takes what `text_generation` takes and returns a stream: "
            "iterate for\n`GenerationChunk`, or use `.text_deltas()`, `.result()`, `.close()`.\n",
            "\n## Keywords of every method\n\n",
            common(),
            TYPES,
            "\n## Results\n\nAll but `Media` also have `raw`, what the server sent.\n\n",
            result_types(),
            "\n## Reference\n\n",
            reference(),
            "\n[recordings.md](recordings.md) says where our requests differ from those that the "
            "official clients\nsent in recorded traffic, and why.\n",
        )
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
