"""Arguments of the tasks about text (protocol reference, 5.1, 5.2, 6.2, 6.5).

The signature of each function is that of the method; ``**call`` never arrives here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

from shared_core.config.checks import boolean, whole_number
from shared_core.config.checks import text as some_text
from shared_core.tasks.params import TableInput, choice, columns, generation, parameters, template
from shared_core.tasks.params import texts as some_texts
from shared_core.tasks.spec import Call, Payload

Activation = Literal["sigmoid", "softmax", "none"]
Truncation = Literal["do_not_truncate", "longest_first", "only_first", "only_second"]

ACTIVATION = choice("sigmoid", "softmax", "none")
_TRUNCATION = choice("do_not_truncate", "longest_first", "only_first", "only_second")


def text_classification(
    text: str,
    *,
    function_to_apply: Activation | None = None,
    top_k: int | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Say which classes a text belongs to, e.g. its sentiment; the best first.

    Args:
        text: The text.
        function_to_apply: What makes scores of the model's numbers.
        top_k: How many classes to return; all by default.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(
        inputs=some_text("text", text),
        parameters=parameters(
            function_to_apply=(function_to_apply, ACTIVATION), top_k=(top_k, whole_number(1))
        ),
    )


def token_classification(
    text: str,
    *,
    aggregation_strategy: Literal["none", "simple", "first", "average", "max"] | None = None,
    ignore_labels: Sequence[str] | None = None,
    stride: int | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Find names, places and other entities in a text.

    Args:
        text: The text.
        aggregation_strategy: How tokens become entities.
        ignore_labels: Labels to leave out, e.g. ``["O"]``.
        stride: Tokens that two pieces of a long text share.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(
        inputs=some_text("text", text),
        parameters=parameters(
            aggregation_strategy=(
                aggregation_strategy,
                choice("none", "simple", "first", "average", "max"),
            ),
            ignore_labels=(ignore_labels, some_texts(0)),
            stride=(stride, whole_number(0)),
        ),
    )


def question_answering(
    question: str,
    context: str,
    *,
    top_k: int | None = None,
    doc_stride: int | None = None,
    max_answer_len: int | None = None,
    max_seq_len: int | None = None,
    max_question_len: int | None = None,
    handle_impossible_answer: bool | None = None,
    align_to_words: bool | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Find the answer to a question in a text; the best first.

    Args:
        question: The question.
        context: The text.
        top_k: How many answers to return, 1 by default.
        doc_stride: Tokens that two pieces of a long text share.
        max_answer_len: Longest answer, in tokens.
        max_seq_len: Longest piece with its question, in tokens.
        max_question_len: Tokens after which the question is cut.
        handle_impossible_answer: Whether "no answer" is an answer.
        align_to_words: Whether an answer ends at the end of a word.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(
        inputs={
            "question": some_text("question", question),
            "context": some_text("context", context),
        },
        parameters=parameters(
            top_k=(top_k, whole_number(1)),
            doc_stride=(doc_stride, whole_number(0)),
            max_answer_len=(max_answer_len, whole_number(1)),
            max_seq_len=(max_seq_len, whole_number(1)),
            max_question_len=(max_question_len, whole_number(1)),
            handle_impossible_answer=(handle_impossible_answer, boolean),
            align_to_words=(align_to_words, boolean),
        ),
    )


def table_question_answering(
    query: str,
    table: TableInput,
    *,
    padding: Literal["do_not_pad", "longest", "max_length"] | None = None,
    sequential: bool | None = None,
    truncation: bool | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Answer a question about a table.

    Args:
        query: The question.
        table: Column -> cells, all of the same length; cells are sent as text. A pandas
            DataFrame will do.
        padding: How inputs are made equally long.
        sequential: Whether rows depend on one another.
        truncation: Whether a table that is too long is cut.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(
        inputs={"query": some_text("query", query), "table": columns("table", table)},
        parameters=parameters(
            padding=(padding, choice("do_not_pad", "longest", "max_length")),
            sequential=(sequential, boolean),
            truncation=(truncation, boolean),
        ),
    )


def fill_mask(
    text: str,
    *,
    targets: Sequence[str] | None = None,
    top_k: int | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Propose tokens for the masks in a text; the best first.

    Args:
        text: Text with the mask token of the model, e.g. ``[MASK]`` or ``<mask>``.
        targets: Tokens to choose from.
        top_k: How many proposals to return, 5 by default.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(
        inputs=some_text("text", text),
        parameters=parameters(targets=(targets, some_texts()), top_k=(top_k, whole_number(1))),
    )


def zero_shot_classification(
    text: str,
    candidate_labels: Sequence[str],
    *,
    hypothesis_template: str | None = None,
    multi_label: bool | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Say which of your own classes a text belongs to; the best first.

    Args:
        text: The text.
        candidate_labels: The classes, at least one.
        hypothesis_template: Sentence with ``{}`` for the label.
        multi_label: Whether several may be true: scores then do not add up to 1.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(
        inputs=some_text("text", text),
        parameters=parameters(
            candidate_labels=(some_texts()("candidate_labels", candidate_labels), some_texts()),
            hypothesis_template=(hypothesis_template, template),
            multi_label=(multi_label, boolean),
        ),
    )


def summarization(
    text: str,
    *,
    clean_up_tokenization_spaces: bool | None = None,
    truncation: Truncation | None = None,
    generate_parameters: Mapping[str, Any] | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Shorten a text, keeping its meaning.

    Args:
        text: The text.
        clean_up_tokenization_spaces: Whether blanks before punctuation are removed.
        truncation: How a text that is too long is cut.
        generate_parameters: Further parameters of the generation, e.g. ``{"max_length": 60}``.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(
        inputs=some_text("text", text),
        parameters=_rewriting(clean_up_tokenization_spaces, truncation, generate_parameters),
    )


def translation(
    text: str,
    *,
    src_lang: str | None = None,
    tgt_lang: str | None = None,
    clean_up_tokenization_spaces: bool | None = None,
    truncation: Truncation | None = None,
    generate_parameters: Mapping[str, Any] | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Translate a text.

    Args:
        text: The text.
        src_lang: Its language, as the model writes it, e.g. ``"en_XX"``.
        tgt_lang: The language wanted; both or none.
        clean_up_tokenization_spaces: Whether blanks before punctuation are removed.
        truncation: How a text that is too long is cut.
        generate_parameters: Further parameters of the generation.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    if (src_lang is None) != (tgt_lang is None):
        from shared_core.errors import InvalidSettingError

        missing = "src_lang" if src_lang is None else "tgt_lang"
        raise InvalidSettingError(
            f"{missing} is missing: give src_lang and tgt_lang, or neither", setting=missing
        )
    return Payload(
        inputs=some_text("text", text),
        parameters=parameters(src_lang=(src_lang, some_text), tgt_lang=(tgt_lang, some_text))
        | _rewriting(clean_up_tokenization_spaces, truncation, generate_parameters),
    )


def text2text_generation(
    text: str,
    *,
    clean_up_tokenization_spaces: bool | None = None,
    truncation: Truncation | None = None,
    generate_parameters: Mapping[str, Any] | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Turn a text into another, as the model was trained to.

    Args:
        text: The text, with the instruction that the model knows.
        clean_up_tokenization_spaces: Whether blanks before punctuation are removed.
        truncation: How a text that is too long is cut.
        generate_parameters: Further parameters of the generation.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(
        inputs=some_text("text", text),
        parameters=_rewriting(clean_up_tokenization_spaces, truncation, generate_parameters),
    )


def _rewriting(clean_up: Any, truncation: Any, generate: Any) -> dict[str, Any]:
    return parameters(
        clean_up_tokenization_spaces=(clean_up, boolean),
        truncation=(truncation, _TRUNCATION),
        generate_parameters=(generate, generation),
    )


def sentence_similarity(
    source_sentence: str, sentences: Sequence[str], **call: Unpack[Call]
) -> Payload:
    """Say how similar each sentence is to the first; about 1 for the same meaning.

    Args:
        source_sentence: The sentence to compare with.
        sentences: The sentences to compare, at least one.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(
        inputs={
            "source_sentence": some_text("source_sentence", source_sentence),
            "sentences": some_texts()("sentences", sentences),
        }
    )


def text_ranking(
    query: str,
    texts: Sequence[str],
    *,
    raw_scores: bool | None = None,
    return_text: bool | None = None,
    truncate: bool | None = None,
    truncation_direction: Literal["left", "right"] | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Order texts by how well they answer a query (rerank); the best first.

    Served by TEI and servers like it, at ``/rerank`` of the address that is the model or the
    base URL, and in Cohere's form at an address that ends in ``/v1/rerank``; hf-inference has no
    documented route for it.

    Args:
        query: The query.
        texts: The texts, at least one.
        raw_scores: Whether scores stay as the model makes them, not from 0 to 1.
        return_text: Whether each result carries its text.
        truncate: Whether texts that are too long are cut.
        truncation_direction: The side that is cut.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(
        inputs={"query": some_text("query", query), "texts": some_texts()("texts", texts)},
        parameters=parameters(
            raw_scores=(raw_scores, boolean),
            return_text=(return_text, boolean),
            truncate=(truncate, boolean),
            truncation_direction=(truncation_direction, choice("left", "right")),
        ),
    )


def feature_extraction(
    text: str | Sequence[str],
    *,
    normalize: bool | None = None,
    prompt_name: str | None = None,
    truncate: bool | None = None,
    truncation_direction: Literal["left", "right"] | None = None,
    dimensions: int | None = None,
    encoding_format: Literal["float", "base64"] | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Return the model's numbers for a text, in the shape in which the server gives them.

    ``client.embeddings`` does more: one vector per text whatever the server, batches, formats.

    Args:
        text: The text, or several.
        normalize: Whether vectors are scaled to length 1.
        prompt_name: Name of a prompt of the model that is put first.
        truncate: Whether texts that are too long are cut.
        truncation_direction: The side that is cut.
        dimensions: Length of the vectors, where the model can shorten them.
        encoding_format: ``"base64"`` asks for smaller answers; either form is read.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return Payload(
        inputs=some_text("text", text) if isinstance(text, str) else some_texts()("text", text),
        parameters=parameters(
            normalize=(normalize, boolean),
            prompt_name=(prompt_name, some_text),
            truncate=(truncate, boolean),
            truncation_direction=(truncation_direction, choice("left", "right")),
            dimensions=(dimensions, whole_number(1)),
            encoding_format=(encoding_format, choice("float", "base64")),
        ),
    )
