"""The one logger of the package, ``"hfrouter"``: silent by default, without secrets and prompts."""

from __future__ import annotations

import logging

from shared_core.error_base import redact


class RedactingFilter(logging.Filter):
    """Hides credentials in the message and in the traceback of a record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact *record* in place; never drops it."""
        record.msg = redact(record.getMessage())
        record.args = ()
        if record.exc_info and not record.exc_text:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return True


logger = logging.getLogger("hfrouter")
"""Used by every module: a filter works on the logger it is attached to, not on its children."""

logger.addHandler(logging.NullHandler())
logger.addFilter(RedactingFilter())
