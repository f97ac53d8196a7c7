"""``local/extractive-reader``: answers with sentences of the given context, word for word.

It is not a language model: it writes nothing of its own except two plain statements, that
no sentence answers and that there is no context. Sentences are ranked by the words that
they share with the question (BM25) and, when the weights are on this machine, by the
cosine of their MiniLM vectors.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared_core.local.sentences import Sentence, split

if TYPE_CHECKING:
    from shared_core.local.embedder import Embedder
    from shared_core.local.prompt import Prompt

NO_ANSWER = "No sentence in the given context answers this question."
NO_CONTEXT = (
    "There is no context to quote from. This is local/extractive-reader, which answers only "
    "with sentences of documents given in the prompt; it is not a language model."
)
NO_QUESTION = "There is no question. The last user message must ask something."

# BM25 with its customary saturation; a weak length normalisation, sentences being short.
_K1 = 1.2
_B = 0.4
_HEADING_WEIGHT = 0.5
"""A word of the heading counts as half a word of the sentence."""
_CANDIDATES = 32
"""Sentences whose meaning is compared, the best by words first: bounds the time."""
# Chosen on examples/questions.json and on questions that those documents do not answer.
_LEAST_BY_WORDS = 0.34
_LEAST_COMBINED = 0.40
_CLOSE = 0.7
"""Further sentences are quoted from this share of the best score on."""

_PRONOUN = re.compile(r"(?:It|Its|He|His|She|Her|They|Their|This|These|That|Those)\b")
_PRONOUN_SHARE = 0.4
_SHARE = 0.1
"""What a sentence gets of its predecessor's score in the same section: texts go on about
their subject, and a sentence that begins with a pronoun certainly does."""

_STOPWORDS = frozenset(
    re.findall(
        r"\w+",
        """a about after all an and any are as at be been before being but by can could did do does
        doing during each either for from had has have having he her his how i if in into is it its
        just many may me might more most much must my no nor of on one or our out over own please
        s shall she should so some such t tell than that the their them then there these they this
        those to too under until up upon us very was we were what when where which while who whom
        whose why will with within would you your""",
    )
)
_EXPECTED = (
    (
        re.compile(
            r"\b(?:how (?:many|much|long|far|old|often|high|large|big|wide|tall|deep|fast)|when|"
            r"what (?:time|year|date|size|percentage)|which year)\b",
            re.IGNORECASE,
        ),
        re.compile(r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve)\b", re.I),
    ),
    (re.compile(r"\bwho(?:se|m)?\b", re.IGNORECASE), re.compile(r"\w[^.!?]*\s[A-Z][a-z]+")),
)
_EXPECTED_BONUS = 0.05


def answer(prompt: Prompt, *, encoder: Embedder | None = None, max_sentences: int = 3) -> str:
    """Return the sentences of the context that best answer the question.

    Args:
        prompt: Question and context.
        encoder: Embedding model, None to compare words only.
        max_sentences: Most sentences to quote.

    Returns:
        Sentences word for word in source order, or :data:`NO_ANSWER`, :data:`NO_CONTEXT`
        or :data:`NO_QUESTION`.
    """
    if prompt.follow_up is not None:
        return prompt.follow_up  # it cannot rephrase: the words as they were said
    if not prompt.question:
        return NO_QUESTION
    sentences = [s for s in split(prompt.context) if not s.text.endswith("?") and _words(s.text)]
    if not sentences:
        return NO_CONTEXT
    scores = _by_words(prompt.question, sentences)
    least = _LEAST_BY_WORDS
    if encoder is not None:
        scores = _with_meaning(prompt.question, sentences, scores, encoder)
        least = _LEAST_COMBINED
    if max(scores) < least:
        return NO_ANSWER
    scores = _with_predecessors(sentences, scores)
    enough = max(least, _CLOSE * max(scores))
    ranked = sorted(range(len(scores)), key=lambda index: -scores[index])[:max_sentences]
    chosen = sorted(index for index in ranked if scores[index] >= enough)
    return " ".join(sentences[index].text for index in chosen)


def count_tokens(text: str) -> int:
    """Return the reader's token count: words plus punctuation marks."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def _stem(word: str) -> str:
    """Cut the commonest English endings, so that "opens" and "opening" meet "open"."""
    for ending, least in (("ies", 3), ("ing", 4), ("ed", 3), ("es", 3), ("s", 3)):
        if word.endswith(ending) and len(word) - len(ending) >= least and not word.endswith("ss"):
            word = word[: -len(ending)] + ("y" if ending == "ies" else "")
            break
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


def _words(text: str) -> list[str]:
    return [_stem(word) for word in re.findall(r"\w+", text.casefold()) if word not in _STOPWORDS]


def _by_words(question: str, sentences: Sequence[Sentence]) -> list[float]:
    """Return BM25 scores as a share of the best that the question allows, 0 to about 1."""
    bags = []
    for sentence in sentences:
        bag: defaultdict[str, float] = defaultdict(float)
        for word in _words(sentence.heading):
            bag[word] += _HEADING_WEIGHT
        for word in _words(sentence.text):
            bag[word] += 1.0
        bags.append(bag)
    asked = set(_words(question))
    if not asked:
        return [0.0] * len(sentences)
    holding = Counter(word for bag in bags for word in bag if word in asked)
    count = len(sentences)
    rarity = {w: math.log(1 + (count - holding[w] + 0.5) / (holding[w] + 0.5)) for w in asked}
    total = sum(rarity.values())
    average = sum(sum(bag.values()) for bag in bags) / count or 1.0
    scores = []
    for sentence, bag in zip(sentences, bags, strict=True):
        length = 1 - _B + _B * sum(bag.values()) / average
        hits = (
            rarity[w] * min(1.0, bag[w] * (_K1 + 1) / (bag[w] + _K1 * length))
            for w in asked
            if w in bag
        )
        scores.append(sum(hits) / total + _bonus(question, sentence.text))
    return scores


def _with_predecessors(sentences: Sequence[Sentence], scores: Sequence[float]) -> list[float]:
    """Let "It is closed on Mondays" share in the score of the sentence that says what "it" is."""
    shared = list(scores)
    for index in range(1, len(scores)):
        if sentences[index].heading == sentences[index - 1].heading:
            share = _PRONOUN_SHARE if _PRONOUN.match(sentences[index].text) else _SHARE
            shared[index] += share * scores[index - 1]
    return shared


def _bonus(question: str, text: str) -> float:
    """Favour numbers for "how many" and "when", names for "who"."""
    return sum(
        _EXPECTED_BONUS for ask, give in _EXPECTED if ask.search(question) and give.search(text)
    )


def _with_meaning(
    question: str, sentences: Sequence[Sentence], scores: Sequence[float], encoder: Embedder
) -> list[float]:
    order = sorted(range(len(sentences)), key=lambda index: -scores[index])[:_CANDIDATES]
    texts = [f"{sentences[i].heading}. {sentences[i].text}".lstrip(". ") for i in order]
    from shared_core.embeddings.similarity import normalize

    vectors = normalize(encoder.embed([question, *texts])[0])
    combined = [0.5 * score for score in scores]
    for index, cosine in zip(order, vectors[1:] @ vectors[0], strict=True):
        combined[index] += 0.5 * max(0.0, float(cosine))
    return combined
