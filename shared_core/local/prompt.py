"""Finds the question and the context in a conversation, whatever framework laid it out.

Understood layouts: a system message with the context and a user message with the question;
one message with ``Context:`` and ``Question:`` (LangChain) or ``Context information is
below`` and ``Query:`` (LlamaIndex, also its refine prompts); ``<context>`` tags; plain text
followed by a question. Instructions to a model ("You are a helpful assistant ...") are not
context and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_LABELS = r"(?:(?:user|human|new|original|follow[- ]?up|the)[ ]+)*(?:question|query)"
_QUESTION = re.compile(
    rf"^[ \t>*#_]*(?:{_LABELS}[*_ \t]*:|the original query is as follows:)[*_]*[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
# What can follow a question inside the same message.
_AFTER_QUESTION = re.compile(
    r"^[ \t>*#_]*(?:(?:\w+[ ]+){0,2}(?:answer|response)\b[^\n:]*:|context\b[^\n]{0,40}:"
    r"|-{5,}[ \t]*$|we have provided an existing answer:|</)",
    re.IGNORECASE | re.MULTILINE,
)
_FENCE_OPENS = re.compile(r"(?:context|below)[^\n]{0,200}\n-{5,}[ \t]*\n", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*-{5,}[ \t]*$", re.MULTILINE)
_TAG_OPENS = re.compile(r"<(context|documents?|passages?|sources?)>", re.IGNORECASE)
# Sentences that talk to a model about how to answer. Both patterns must fit.
_INSTRUCTION_START = re.compile(
    r"^(?:you are|you're|you will|use |using |answer (?:the|any|each|only|from|in|with|user|using)|"
    r"given |if |just |say |do not |don't |based on |keep |always |never |avoid |some rules|"
    r"the following is a |instructions?:|here (?:is|are) |respond|reply|cite |quote |please |"
    r"context|documents?\b|passages?\b|answer:?$|helpful answer)",
    re.IGNORECASE,
)
_INSTRUCTION_WORD = re.compile(
    r"\b(?:answers?|questions?|query|queries|context|assistant|prior knowledge|don't know|"
    r"do not know|q&a|documents? (?:below|above)|statements like|rules to follow|"
    r"friendly conversation|expert|chatbot|passages? below|:$)|:$",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"^[ \t]*(?:(?:new|original|existing|helpful|refined|final)[ ]+)?(?:context|answer)[ \t]*:"
    r"[ \t]*|^we have provided an existing answer:[ \t]*",
    re.IGNORECASE,
)
# Both frameworks have a model turn a follow-up into a question that stands alone.
_REPHRASE = re.compile(
    r"follow[- ]?up (?:input|message|question)(?::|>\n)(?P<said>[^\n]+)\s{1,9}"
    r"<?standalone (?:question|message)(?::|>)\s{0,9}$",
    re.IGNORECASE,
)
_LIST_MARK = re.compile(r"^(?:[-*+•]|\d+[.)])\s+")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation taken apart.

    Attributes:
        question: What is asked now; empty when nothing is.
        context: Texts that may hold the answer, in the order of the conversation.
        follow_up: What is to be rephrased as a question that stands alone, if that is asked.
    """

    question: str
    context: list[str]
    follow_up: str | None = None


def parse(messages: Sequence[tuple[str, str]]) -> Prompt:
    """Return question and context.

    Args:
        messages: Pairs of role and text. Only the last user message asks; what the
            assistant said before is not context, because it is not a source.
    """
    asking = max((i for i, (role, _) in enumerate(messages) if role == "user"), default=None)
    question = ""
    context: list[str] = []
    for index, (role, text) in enumerate(messages):
        if role == "assistant":
            continue
        rest = text
        if role == "user":
            others = any(texts.strip() for texts in context)
            found, rest = _split(text, whole=others and index == asking)
            if index == asking:
                question = found
        context.append(_context_of(rest))
    # The end is enough, and bounds the time.
    rephrase = _REPHRASE.search(messages[asking][1][-4000:]) if asking is not None else None
    follow_up = rephrase["said"].strip() if rephrase else None
    return Prompt(question, [text for text in context if text.strip()], follow_up)


def _split(text: str, *, whole: bool) -> tuple[str, str]:
    """Return the question in a user message and the text around it."""
    marks = list(_QUESTION.finditer(text))
    if marks:
        start, mark = marks[-1].end(), marks[-1].start()
        end = _AFTER_QUESTION.search(text, start)
        stop = end.start() if end else len(text)
        question = " ".join(text[start:stop].split())
        return question, f"{text[:mark]}\n{text[stop:]}"
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    if len(paragraphs) > 1:
        asking = [i for i in (-1, 0) if paragraphs[i].endswith("?")]
        if asking or not whole:
            question = paragraphs.pop(asking[0] if asking else -1)
            return " ".join(question.split()), "\n\n".join(paragraphs)
    lines = text.strip().splitlines()
    if len(lines) > 1 and lines[-1].rstrip().endswith("?"):
        return lines[-1].strip(), "\n".join(lines[:-1])
    if not whole and len(lines) == 1:
        # "Some facts. More facts. And a question?" in one line.
        parts = re.split(r"(?<=[.!])\s+(?=\S[^.!?]*\?\s*$)", lines[0])
        if len(parts) == 2:
            return parts[1].strip(), parts[0]
    return " ".join(text.split()), ""


def _context_of(text: str) -> str:
    """Return what is between fences or tags, else the text without instructions."""
    if opening := _FENCE_OPENS.search(text):
        closing = [fence.start() for fence in _FENCE.finditer(text, opening.end())]
        if closing:
            return text[opening.end() : closing[-1]]
    if opening := _TAG_OPENS.search(text):
        end = text.lower().rfind(f"</{opening[1].lower()}>", opening.end())
        if end >= 0:
            return text[opening.end() : end]
    return "\n".join(_without_instructions(line) for line in text.splitlines())


def _without_instructions(line: str) -> str:
    line = _LABEL.sub("", line, count=1)
    parts = re.split(r"(?<=[.!?:])(\s+)", line)
    kept = "".join(
        "" if _is_instruction(part) else part + (parts[index + 1] if index + 1 < len(parts) else "")
        for index, part in enumerate(parts)
        if index % 2 == 0
    )
    return kept.rstrip()


def _is_instruction(sentence: str) -> bool:
    bare = _LIST_MARK.sub("", sentence.strip())
    return bool(_INSTRUCTION_START.match(bare) and _INSTRUCTION_WORD.search(bare))
