"""``python -m shared_core.cli``: the same as ``hfrouter``."""

from __future__ import annotations

import sys

from shared_core.cli import main

sys.exit(main())
