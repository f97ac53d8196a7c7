"""Lets ``langchain_core.load`` find our classes.

``load(..., allowed_objects="all")`` accepts only classes of a table in langchain-core, which
has no public way in. The caller must still name our package in ``valid_namespaces``: being in
the table alone lets nobody instantiate anything.
"""

from __future__ import annotations

import sys

from langchain_core.load import mapping


def allow(*path: str) -> None:
    """Enter a class into langchain-core's table of loadable classes. Safe to repeat.

    Args:
        *path: Module path and class name, as in the dump's ``id``.
    """
    tables = [getattr(mapping, "SERIALIZABLE_MAPPING", None)]
    # The reader merges the tables when it is first imported.
    reader = sys.modules.get("langchain_core.load.load")
    tables.append(getattr(reader, "ALL_SERIALIZABLE_MAPPINGS", None))
    for table in tables:
        if isinstance(table, dict):
            table[path] = path
    cache = getattr(reader, "_default_class_paths_cache", None)
    if isinstance(cache, dict):
        cache.clear()
