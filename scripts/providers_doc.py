"""Write docs/providers.md from the registry of providers.

Run ``python scripts/providers_doc.py`` after a change; a test compares the file with the code.
The addresses are not written here: each codec is asked for its first request.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from shared_core.config.providers import AUTH_SCHEMES, CHAT_PATHS, DIRECT  # noqa: E402
from shared_core.config.settings import Settings  # noqa: E402
from shared_core.core import Core  # noqa: E402
from shared_core.flow import Send  # noqa: E402
from shared_core.providers import registry  # noqa: E402
from shared_core.providers.base import Route  # noqa: E402
from shared_core.providers.jobs import Queue  # noqa: E402
from shared_core.tasks.spec import CallOptions, Payload  # noqa: E402

PAGE = ROOT / "docs" / "providers.md"

INTRO = """\
# Providers

<!-- Written by scripts/providers_doc.py; change the code, then run it. -->

A task goes to hf-inference unless you say otherwise. `provider=` names one of the services below;
`provider="auto"` takes the first live provider of the model, in the order of your Hub settings.

```python
from shared_core import RouterClient

client = RouterClient()
image = client.tasks.text_to_image(
    "A red bicycle", model="black-forest-labs/FLUX.1-schnell", provider="fal-ai"
)
image.save("bicycle")
```

Chat needs none of this: `client.chat.create(..., provider="groq")` is one request to the router.

## What happens

1. A pair of provider and task that is not in the table is refused, and nothing is sent. The error
   names the providers that serve the task.
2. The model's name at the provider is looked up on the Hub: one more request, the first time.
   `client.providers.mappings` keeps the answer for an hour. `provider_id=` in the call, or
   `client.providers.mappings.set(model, [ProviderMapping(...)])`, take its place;
   `client.providers.mapping(model)` shows it, `.mappings.forget()` empties it.
   `client.providers.models("fal-ai")` lists every model of a provider.
3. The request goes to the provider's own path behind the router, in the provider's own form.
   `extra_body=` adds fields of the provider (for replicate: of its `input`).
4. Where the provider queues the call, its status is asked for until it is done. Waiting blocks no
   event loop, and a cancelled task stops at once. `progress=` is told of every status,
   `poll_interval=` and `poll_deadline=` (600 seconds unless you set it) are seconds.
5. Files at other addresses are downloaded without the token or any header of the client, within
   the same size limit. Addresses of private networks and plain `http` are refused.

## Nothing that was paid for is lost

A question about a job, or a download, that fails in a way that may heal is repeated, three times
in a row at most. Every error that comes after a job was queued has it as `error.job`, with the
provider's id and addresses, and can be pickled:

```python
from shared_core import JobTimeoutError, RouterClient

client = RouterClient()
try:
    video = client.tasks.text_to_video(
        "A cat on a bicycle", model="Wan-AI/Wan2.2-TI2V-5B", provider="auto", poll_deadline=120
    )
except JobTimeoutError as error:
    video = client.providers.resume(error.job, poll_deadline=None)
video.save("cat")
```

`JobFailedError` says why the provider gave up. The submission itself is sent once, unless you set
`max_retries` or `Resilience(retry=...)`; both hold for each request, and so does
`Resilience(deadline=...)`. `poll_deadline=` holds for the whole job.

## A key of the provider

With an `api_key=` that is not a Hugging Face token (`hf_...`) and a named `provider=`, chat,
embeddings and tasks go straight to the provider's host, and the provider bills them. Chat and
embeddings then take the provider's own name of the model; tasks take the Hub's, or `provider_id=`.
`default_headers=` and `bill_to=` stay behind, and the look-up on the Hub goes without the key.

Only a key that was passed as an argument goes there, and only if `base_url` is the router: a key
that lies in the environment is not sent to a host that you did not name.

On pass-through routes (`base_url="https://router.huggingface.co/together/v1"`) and at providers
themselves, `response_format` is written in the provider's form.

"""

HOSTS = """\
## Hosts

| provider | own host | chat |
|---|---|---|
"""

TASKS = """\

## Tasks

| task | providers |
|---|---|
"""

ADDRESSES = """\

*Queued*: the call waits for a job. What hf-inference serves is in [tasks.md](tasks.md).

## Addresses

`{model}` is the provider's name of the model. Behind the router each address follows
`https://router.huggingface.co/{provider}`.

| provider | task | address | answer |
|---|---|---|---|
"""

WITHDRAWN = """\

The last four providers are no longer mapped to any model of the Hub. They are kept for gateways
and recordings, and need `provider_id=`.

## Limits of what is known

- novita takes videos at one of two addresses; which one works today is not documented. The newer
  one is asked first, the older one if the newer one does not exist.
- replicate answers within a minute or is polled; that its addresses of jobs work behind the
  router is not documented.
- A task gives one file. Where `extra_body=` asks a provider for several, the first is taken.
- nscale knows neither `num_inference_steps` nor `guidance_scale`: they are left out, as the
  official clients do. Text completion leaves out `details`, `do_sample` and
  `return_full_text=False`, which only TGI knows.
- fal-ai knows few labels of sounds: other sounds than WAV and WebM are sent as `audio/mpeg`.
"""


def hosts() -> str:
    """Return the rows of the hosts."""
    lines = []
    for provider, host in DIRECT.items():
        scheme = AUTH_SCHEMES.get(provider)
        shown = f"`{host}`" + (f" (`Authorization: {scheme} ...`)" if scheme else "")
        chat = f"`{CHAT_PATHS[provider]}`" if provider in CHAT_PATHS else ""
        lines.append(f"| {provider} | {shown} | {chat} |")
    return "\n".join(lines) + "\n"


def tasks() -> str:
    """Return one row per task."""
    served: dict[str, list[str]] = {}
    for row in registry.table():
        if row.task != "conversational" and row.provider not in registry.WITHDRAWN:
            mark = " (queued)" if row.queued else ""
            served.setdefault(row.task, []).append(row.provider + mark)
    return "\n".join(f"| {task} | {', '.join(served[task])} |" for task in sorted(served)) + "\n"


def addresses() -> str:
    """Return one row per pair that is not hf-inference's."""
    core = Core(Settings.resolve(api_key="hf_documentation", env={}))
    rows = [row for row in registry.table() if row.task != "conversational"]
    rows.sort(key=lambda row: (row.provider in registry.WITHDRAWN, row))
    lines = []
    for provider, task, _ in rows:
        if provider == registry.HF_INFERENCE:
            continue
        codec = registry.codec(provider, task)
        route = Route(
            provider=provider, task=task, model="org/model", provider_id="o/M", base="https://x"
        )
        effect = next(codec.flow(core, route, example(task), CallOptions()))
        assert isinstance(effect, Send)
        address = effect.request.url.removeprefix("https://x").replace("o/M", "{model}")
        queue = codec if isinstance(codec, Queue) else getattr(codec, "queued", None)
        how = f"queued, asked every {queue.interval:g} s" if queue else "at once"
        lines.append(f"| {provider} | {task} | `{effect.request.method} {address}` | {how} |")
    return "\n".join(lines) + "\n"


def example(task: str) -> Payload:
    """Return a payload that every codec of *task* takes."""
    given = {"voice": "v"} if task == "text-to-speech" else {}
    return Payload(inputs="text", parameters=given, binary=b"file", media_type="image/png")


def page() -> str:
    """Return the whole page."""
    return INTRO + HOSTS + hosts() + TASKS + tasks() + ADDRESSES + addresses() + WITHDRAWN


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
