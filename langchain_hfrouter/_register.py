"""``init_chat_model("hfrouter:org/model")``, on request."""

from __future__ import annotations

from typing import Any


def register() -> None:
    """Let ``langchain.chat_models.init_chat_model`` know ``"hfrouter:..."``.

    LangChain has no public way to add a provider, so this writes into its private table; it
    is therefore never done on import. ``init_chat_model("hfrouter:org/model:groq")`` keeps the
    suffix. Safe to repeat.

    Raises:
        ImportError: The package ``langchain`` is not installed.
        RuntimeError: This version of ``langchain`` keeps its table elsewhere.
    """
    try:
        from langchain.chat_models import base
    except ImportError as error:
        raise ImportError(
            "register() needs the package langchain: pip install langchain"
        ) from error
    table = getattr(base, "_BUILTIN_PROVIDERS", None)
    if not isinstance(table, dict) or not table:
        raise RuntimeError(
            "this version of langchain keeps no table of providers where register() looks; "
            "pass ChatHFRouter(model=...) itself instead"
        )
    # Entries are tuples, in newer versions maybe named ones: make ours of the same kind.
    kind = type(next(iter(table.values())))
    entry = ("langchain_hfrouter", "ChatHFRouter", _create)
    make: Any = getattr(kind, "_make", None)
    table["hfrouter"] = make(entry) if callable(make) else entry


def _create(cls: Any, **kwargs: Any) -> Any:
    return cls(**kwargs)
