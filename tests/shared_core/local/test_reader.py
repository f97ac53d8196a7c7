"""Taking prompts apart, splitting sentences, choosing quotes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core.local import reader
from shared_core.local.models import LocalModels
from shared_core.local.prompt import Prompt, parse
from shared_core.local.sentences import split

FACTS = "The dome opens at dusk. Soup is served on Mondays."
LLAMA_INDEX = (
    "Context information is below.\n---------------------\n{context}\n---------------------\n"
    "Given the context information and not prior knowledge, answer the query.\n"
    "Query: {query}\nAnswer: "
)
REFINE = (
    "The original query is as follows: {query}\nWe have provided an existing answer: Nobody "
    "knows.\nWe have the opportunity to refine the existing answer (only if needed) with some "
    "more context below.\n------------\n{context}\n------------\nGiven the new context, refine "
    "the original answer to better answer the query. If the context isn't useful, return the "
    "original answer.\nRefined Answer: "
)
QUERY = "When does the dome open?"

LAYOUTS = {
    "system and user": [
        ("system", f"You are a helpful assistant. Answer using this context:\n\n{FACTS}"),
        ("user", QUERY),
    ],
    "one message, Question:": [
        (
            "user",
            "You are an assistant for question-answering tasks. Use the following pieces of "
            "retrieved context to answer the question. If you don't know the answer, just say "
            "that you don't know. Use three sentences maximum and keep the answer concise.\n"
            f"Question: {QUERY} \nContext: {FACTS} \nAnswer:",
        )
    ],
    "question last": [("user", f"Context:\n{FACTS}\n\nQuestion: {QUERY}\n\nHelpful Answer:")],
    "LlamaIndex": [("user", LLAMA_INDEX.format(context=FACTS, query=QUERY))],
    "LlamaIndex refine": [("user", REFINE.format(context=FACTS, query=QUERY))],
    "LlamaIndex refine, chat": [
        (
            "user",
            "You are an expert Q&A system that strictly operates in two modes when refining "
            f"existing answers.\nNew Context: {FACTS}\nQuery: {QUERY}\n"
            "Original Answer: The dome opens at dusk.\nNew Answer: ",
        )
    ],
    "tags": [("user", f"Use the documents.\n<context>\n{FACTS}\n</context>\n\n{QUERY}")],
    "plain": [("user", f"{FACTS}\n\n{QUERY}")],
    "one line": [("user", f"{FACTS} {QUERY}")],
    "two lines": [("user", f"{FACTS}\n{QUERY}")],
    "question first": [("user", f"{QUERY}\n\n{FACTS}")],
    "after a turn": [
        ("system", FACTS),
        ("user", "What is served?"),
        ("assistant", "Elephants."),
        ("user", QUERY),
    ],
    "tool result": [("user", QUERY), ("tool", FACTS)],
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_question_and_context_are_found_in_the_usual_layouts(name: str) -> None:
    prompt = parse(LAYOUTS[name])
    assert prompt.question == QUERY
    texts = [sentence.text for sentence in split(prompt.context)]
    assert [text for text in texts if not text.endswith(":")] == FACTS.replace(". ", ".|").split(
        "|"
    )
    assert reader.answer(prompt) == "The dome opens at dusk."


@pytest.mark.parametrize(
    "text",
    [
        "Rephrase the follow up question to be a standalone question.\n\nChat History:\n"
        f"user: Hi\nassistant: {FACTS}\nFollow Up Input: And the dome?\nStandalone question:",
        "Rewrite the message.\n\n<Chat History>\nuser: Hi\n\n<Follow Up Message>\nAnd the dome?\n\n"
        "<Standalone question>\n",
    ],
)
def test_a_follow_up_is_given_back_as_it_was_said(text: str) -> None:
    assert reader.answer(parse([("user", text)])) == "And the dome?"


def test_what_the_assistant_said_is_not_a_source() -> None:
    prompt = parse([("user", "Hi"), ("assistant", FACTS), ("user", QUERY)])
    assert reader.answer(prompt) == reader.NO_CONTEXT


@pytest.mark.parametrize(
    "messages",
    [[("user", "Hello there")], [("user", QUERY)], [("system", "You are an assistant.")]],
)
def test_without_context_or_question_it_says_so(messages: list[tuple[str, str]]) -> None:
    assert reader.answer(parse(messages)) in (reader.NO_CONTEXT, reader.NO_QUESTION)


@pytest.mark.parametrize("semantic", [False, True])
@pytest.mark.parametrize("question", ["Who won the cup in 1998?", "What does a ticket cost?"])
def test_without_an_answer_in_the_context_it_says_so(question: str, semantic: bool) -> None:
    encoder = LocalModels().encoder() if semantic else None
    assert reader.answer(Prompt(question, [FACTS]), encoder=encoder) == reader.NO_ANSWER


def test_meaning_finds_what_shares_no_word() -> None:
    facts = "Cats may be brought along on a leash. Soup is served on Mondays. The roof is green."
    prompt = Prompt("Are pets allowed?", [facts])
    assert reader.answer(prompt) == reader.NO_ANSWER
    encoder = LocalModels().encoder()
    found = reader.answer(prompt, encoder=encoder)
    assert found in ("Cats may be brought along on a leash.", reader.NO_ANSWER)


def test_quotes_come_in_source_order_and_at_most_so_many() -> None:
    text = " ".join(f"The red lamp number {number} is red." for number in range(1, 9))
    answer = reader.answer(Prompt("Which lamp is red?", [text]), max_sentences=3)
    numbers = [int(word) for word in answer.split() if word.isdigit()]
    assert len(numbers) == 3
    assert numbers == sorted(numbers)


MARKDOWN = """file_path: docs/a.md

# Dome rules

Dr. Amal Reyes wrote them,
e.g. in 1987. J. Smith agreed! Did he?

* Close the dome at 45 km/h.
  Then lock it.
1. Call the night desk.

| Room | Seats |
|------|-------|
| Hall | 120 |

---
"""


def test_markdown_is_split_into_quotable_units() -> None:
    sentences = split([MARKDOWN, MARKDOWN])
    assert [sentence.text for sentence in sentences] == [
        "Dr. Amal Reyes wrote them, e.g. in 1987.",
        "J. Smith agreed!",
        "Did he?",
        "Close the dome at 45 km/h.",
        "Then lock it.",
        "Call the night desk.",
        "| Room | Seats |",
        "| Hall | 120 |",
    ]
    assert {sentence.heading for sentence in sentences} == {"Dome rules"}


@given(st.text(max_size=300), st.text(min_size=1, max_size=60))
def test_answers_are_always_quotes_or_one_of_the_plain_statements(text: str, asked: str) -> None:
    answer = reader.answer(Prompt(asked, [text]))
    plain = (reader.NO_ANSWER, reader.NO_CONTEXT, reader.NO_QUESTION)
    source = " ".join(text.split())
    assert answer in plain or all(
        " ".join(sentence.text.split()) in source
        for sentence in split([text])
        if sentence.text in answer
    )


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text(max_size=200))))
def test_any_conversation_can_be_taken_apart(messages: list[tuple[str, str]]) -> None:
    prompt = parse(messages)
    assert isinstance(reader.answer(prompt), str)


HOSTILE = [
    "<context>" * 30_000,
    "context below\n-----\n" * 20_000,
    "| " + "-" * 200_000 + "x",
    "# " + "#" * 200_000 + "x",
    "Dr. A " * 50_000,
    "- " * 100_000 + "x",
    "." * 200_000,
    '."' * 100_000,
    ". " + " " * 200_000,
    "question " * 50_000,
    "follow up input:" * 20_000 + " " * 100_000,
    "answer: " * 50_000,
    "*" * 200_000,
    "?" * 100_000,
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12].strip())
def test_reading_takes_time_in_proportion_to_the_text(text: str) -> None:
    for messages in ([("user", text)], [("system", text), ("user", QUERY)]):
        assert reader.answer(parse(messages))
    assert isinstance(split([text]), list)
