"""Fail when too few branches were covered: coverage_gate.py coverage.json LEAST_PERCENT."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path


def main(report: str, least: str) -> int:
    """Print the branch coverage of each package and compare all of them with *least*."""
    total: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, file in json.loads(Path(report).read_text(encoding="utf-8"))["files"].items():
        summary = file["summary"]
        for key in (Path(name).parts[0], "all"):
            total[key][0] += summary["covered_branches"]
            total[key][1] += summary["num_branches"]
    for name, (covered, branches) in sorted(total.items()):
        print(f"branches covered: {name} {100 * covered / max(branches, 1):.1f} % of {branches}")
    return int(any(100 * c / max(n, 1) < float(least) for c, n in total.values()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
