"""Every error class: advice, pickle, copies, one short text."""

from __future__ import annotations

import copy
import pickle

import pytest

import shared_core
from shared_core import errors
from shared_core.errors import RouterError


def _tree(base: type[RouterError]) -> list[type[RouterError]]:
    return [base, *(found for child in base.__subclasses__() for found in _tree(child))]


def _instance(cls: type[RouterError]) -> RouterError:
    # These always carry the error that they stand for.
    if issubclass(cls, errors.StreamEventError | errors.ResponseFailedError):
        return cls("it broke here", error=errors.RateLimitError("slow down", status_code=429))
    return cls("it broke here")


def _state(error: BaseException) -> dict[str, object]:
    return {
        name: _state(value) if isinstance(value, BaseException) else value
        for name, value in {**vars(error), "type": type(error), "text": str(error)}.items()
    }


CLASSES = [c for c in _tree(RouterError) if c.__module__.startswith("shared_core")]


def test_the_tree_is_found() -> None:
    assert len(CLASSES) > 30


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_class_is_complete(cls: type[RouterError]) -> None:
    assert getattr(shared_core, cls.__name__) is cls
    assert cls.__name__ in shared_core.__all__
    assert cls.__doc__
    assert cls.guidance.strip()
    assert isinstance(getattr(cls, "retryable", False), bool)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_instance_says_what_happened_and_what_to_do(cls: type[RouterError]) -> None:
    error = _instance(cls)
    what, _, advice = str(error).partition("\n")
    assert "it broke here" in what
    assert advice.strip()
    assert len(str(error)) <= 700


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize(
    "twin",
    [
        lambda error: pickle.loads(pickle.dumps(error)),
        copy.copy,
        copy.deepcopy,
    ],
    ids=["pickle", "copy", "deepcopy"],
)
def test_instance_survives_copies(cls: type[RouterError], twin: object) -> None:
    error = _instance(cls)
    other = twin(error)  # type: ignore[operator]
    assert _state(other) == _state(error)


def test_no_class_is_a_runtime_error() -> None:
    # Frameworks catch RuntimeError to mean something of their own.
    assert [cls for cls in CLASSES if issubclass(cls, RuntimeError)] == []
