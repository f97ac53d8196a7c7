"""Teach a tiny Qwen3-shaped model sixteen conversations by heart and write it as GGUF.

The answers are what the tests expect of a real server at temperature 0. The only training text
is in this file and in the standard library (for the tokenizer). Deterministic seed, CPU only,
about a minute. Floating-point sums differ between machines, so the file is not the same byte
for byte; what counts is the last line: every row recalled.

Usage: ``make_taught_model.py OUT.gguf [--steps 350]``
Needs: torch, transformers, tokenizers, safetensors, gguf, numpy.
"""

from __future__ import annotations

import argparse
import json
import random
import sysconfig
from pathlib import Path
from typing import Any

import gguf
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

TEMPLATE = Path(__file__).with_name("taught-qwen3.jinja").read_text(encoding="utf-8")
CONTEXT = 4096
VOCABULARY = 2048
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKS = ["tool_call", "tool_response", "think"]
ADDED = [mark for name in MARKS for mark in (f"<{name}>", f"</{name}>")]


def function(name: str, description: str, **properties: str) -> dict[str, Any]:
    """Return a tool definition as it is sent on the wire."""
    schema = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in properties.items()},
        "required": list(properties),
    }
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": schema},
    }


WEATHER = function("get_weather", "Current weather of a city", city="string")
TIME = function("get_time", "Local time of a city", city="string")
ADD = function("add", "Add two numbers", a="number", b="number")
SEARCH = function("search", "Search documents", query="string")
ONE, TWO, SUM = [WEATHER], [WEATHER, TIME], [ADD]
ALL = [WEATHER, TIME, ADD, SEARCH]


def user(text: str) -> dict[str, Any]:
    """Return a user turn."""
    return {"role": "user", "content": text}


def says(text: str) -> dict[str, Any]:
    """Return an assistant turn in words."""
    return {"role": "assistant", "content": text}


def calls(*wanted: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Return an assistant turn that calls tools."""
    made = [
        {"type": "function", "function": {"name": name, "arguments": arguments}}
        for name, arguments in wanted
    ]
    return {"role": "assistant", "content": "", "tool_calls": made}


def result(text: str) -> dict[str, Any]:
    """Return the turn that carries a tool's result."""
    return {"role": "tool", "content": text}


PARIS = {"city": "Paris"}
WEATHER_CALL = calls(("get_weather", PARIS))
BOTH_CALLS = calls(("get_weather", PARIS), ("get_time", PARIS))
ADD_CALL = calls(("add", {"a": 2, "b": 3}))
TIME_CALL = calls(("get_time", PARIS))
ONE_BY_ONE = [user("First the weather in Paris, then the time."), WEATHER_CALL]
ONE_BY_ONE += [result('{"temp_c": 21}'), TIME_CALL, result("12:30")]
ONE_BY_ONE += [says("It is 21 degrees in Paris, and it is 12:30 there.")]
STORY = " ".join(
    f"Part {i}: the river ran past house number {i} and nobody looked up." for i in range(1, 13)
)
UNICODE = "Grüße! 你好，世界 🌍🚀 — naïve café, Ελληνικά, 日本語, emoji: 👩‍👩‍👧‍👦."  # noqa: RUF001

Tools = list[dict[str, Any]] | None
#: A conversation, whose last turn is learned, and the sets of tools it is learned with.
LESSONS: list[tuple[list[dict[str, Any]], list[Tools]]] = [
    ([user("Say hello."), says("Hello! How can I help you today?")], [None, ONE, ALL]),
    ([user("Hello"), says("Hello! How can I help you today?")], [None, ONE]),
    (
        [user("What is the capital of France?"), says("The capital of France is Paris.")],
        [None, ONE, ALL],
    ),
    ([user("Write unicode."), says(UNICODE)], [None]),
    ([user("Tell me a long story."), says(STORY)], [None]),
    (
        [
            user("Think: is 7 prime?"),
            says("<think>\n7 has no divisor but 1 and 7.\n</think>\n\nYes, 7 is prime."),
        ],
        [None],
    ),
    ([user("What is the weather in Paris?"), WEATHER_CALL], [ONE, ALL, TWO]),
    (
        [
            user("What is the weather in Paris?"),
            WEATHER_CALL,
            result('{"temp_c": 21}'),
            says("It is 21 degrees in Paris."),
        ],
        [ONE, ALL, TWO],
    ),
    ([user("Weather and time in Paris?"), BOTH_CALLS], [ALL, TWO]),
    (
        [
            user("Weather and time in Paris?"),
            BOTH_CALLS,
            result('{"temp_c": 21}'),
            result("12:30"),
            says("It is 21 degrees and 12:30 in Paris."),
        ],
        [ALL, TWO],
    ),
    (ONE_BY_ONE[:2], [ALL, TWO]),
    (ONE_BY_ONE[:4], [ALL, TWO]),
    (ONE_BY_ONE, [ALL, TWO]),
    ([user("What is 2 + 3?"), ADD_CALL], [SUM, ALL]),
    ([user("What is 2 + 3?"), ADD_CALL, result("5"), says("2 + 3 = 5.")], [SUM, ALL]),
    ([user("Give me a JSON person."), says('{"name": "Ada", "age": 36}')], [None]),
]


def train_tokenizer() -> Tokenizer:
    """Train a byte-level BPE tokenizer on Python source and on the lessons."""
    library = Path(sysconfig.get_paths()["stdlib"])
    texts = [p.read_text("utf-8", errors="ignore") for p in sorted(library.glob("*.py"))[:40]]
    texts += [json.dumps(lesson, ensure_ascii=False) * 20 for lesson in LESSONS]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(ADDED),
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(ADDED)
    return tokenizer


def make_rows(tokenizer: Tokenizer) -> list[tuple[list[int], int]]:
    """Return (token ids, length of the prompt) for every lesson in every setting."""
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")
    wrapped.chat_template = TEMPLATE
    end = tokenizer.token_to_id("<|im_end|>")
    system = {"role": "system", "content": "You are a helpful assistant."}
    rows = []
    for conversation, toolsets in LESSONS:
        # With tools the template writes the system sentence itself.
        settings = [(tools, before) for tools in toolsets for before in ([], [system])]
        for tools, before in settings:
            if tools and before:
                continue
            turns = before + conversation
            common: dict[str, Any] = {"tools": tools, "tokenize": False}
            prompt = wrapped.apply_chat_template(turns[:-1], add_generation_prompt=True, **common)
            whole = wrapped.apply_chat_template(turns, **common)
            start, ids = tokenizer.encode(prompt).ids, tokenizer.encode(whole).ids
            if ids[: len(start)] != start:
                raise ValueError(f"the prompt is not a prefix: {conversation[0]}")
            rows.append((ids[: ids.index(end, len(start)) + 1], len(start)))
    return rows


def teach(model: Any, rows: list[tuple[list[int], int]], steps: int, padding: int) -> float:
    """Train until the answers are known; return the last loss."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps)
    rows = sorted(rows, key=lambda row: len(row[0]))  # batches of like length: little padding
    batches = [rows[i : i + 8] for i in range(0, len(rows), 8)]
    loss = torch.tensor(float("inf"))
    for step in range(steps):
        if step % len(batches) == 0:
            random.shuffle(batches)
        batch = batches[step % len(batches)]
        width = max(len(ids) for ids, _ in batch)
        inputs = torch.full((len(batch), width), padding)
        labels = torch.full((len(batch), width), -100)
        for line, (ids, start) in enumerate(batch):
            inputs[line, : len(ids)] = torch.tensor(ids)
            labels[line, start : len(ids)] = torch.tensor(ids[start:])
        # Padding is on the right and attention is causal, so no mask is needed; the vocabulary
        # is projected only where there is something to learn, which is most of the speed.
        hidden = model.model(input_ids=inputs).last_hidden_state[:, :-1]
        learned = labels[:, 1:] != -100
        logits = model.lm_head(hidden[learned])
        loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:][learned])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return float(loss.detach())


def recalled(model: Any, rows: list[tuple[list[int], int]], end: int, padding: int) -> int:
    """Return how many rows the model completes exactly."""
    model.eval()
    good = 0
    for ids, start in rows:
        wanted = ids[start:]
        answer = model.generate(
            torch.tensor([ids[:start]]),
            attention_mask=torch.ones(1, start, dtype=torch.long),
            max_new_tokens=len(wanted) + 4,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=padding,
        )
        good += answer[0, start:].tolist() == wanted
    return good


def write_gguf(model: Any, tokenizer: Tokenizer, target: Path) -> None:
    """Write weights, tokenizer and template as float32 GGUF."""
    config = model.config
    writer = gguf.GGUFWriter(str(target), "qwen3")
    writer.add_name(target.stem)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_file_type(0)
    vocabulary = tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    kinds = dict.fromkeys(SPECIAL, gguf.TokenType.CONTROL)
    kinds |= dict.fromkeys(ADDED, gguf.TokenType.USER_DEFINED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([kinds.get(token, gguf.TokenType.NORMAL) for token in tokens])
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_eos_token_id(vocabulary["<|im_end|>"])
    writer.add_pad_token_id(vocabulary["<|endoftext|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config.num_hidden_layers)
    for key, tensor in model.state_dict().items():
        if key == "lm_head.weight":  # tied to the embeddings
            continue
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise ValueError(f"no GGUF name for the tensor {key}")
        writer.add_tensor(name, tensor.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Train, check, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=350)
    options = parser.parse_args()
    random.seed(0)
    torch.manual_seed(0)
    tokenizer = train_tokenizer()
    end, padding = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=CONTEXT,
            rope_theta=10000.0,
            bos_token_id=None,
            eos_token_id=end,
            pad_token_id=padding,
            tie_word_embeddings=True,
            use_sliding_window=False,
        )
    )
    rows = make_rows(tokenizer)
    loss = teach(model, rows, options.steps, padding)
    good = recalled(model, rows, end, padding)
    write_gguf(model, tokenizer, options.out)
    size = options.out.stat().st_size // 1024
    print(f"{options.out}: {size} KiB, loss {loss:.5f}, recalled {good} of {len(rows)}")


if __name__ == "__main__":
    main()
