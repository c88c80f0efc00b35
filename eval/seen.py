"""Say in one sentence what GRPO did to Pass@1 and Pass@8, and what it did in the paper.

    python -m eval.seen outputs/demo/eval/grpo/scores.json

The scores hold a comparison with the model before (`eval.score --against`). A difference whose 95 % interval holds 0 is
no difference.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.commands import UserError, existing, parser, run
from common.papers import paper_tables

BEFORE, AFTER = "table2/75/sft", "table2/75/vanilla"
SHOWN = {"Pass@1": "drg/pass@1", "Pass@8": "drg/pass@8"}


def ours(name: str, cell: Mapping[str, Any]) -> str:
    """What happened to a metric here."""
    value, low, high = (100 * bound for bound in (cell["value"], *cell["interval"]))
    did = "rose" if low > 0 else "fell" if high < 0 else "did not move for certain"
    return f"{name} {did} ({value:+.1f} points [{low:+.1f}, {high:+.1f}])"


def sentence(scores: Mapping[str, Any]) -> str:
    """The sentence; scores without such a comparison are refused."""
    found = scores.get("paired", {}).get("metrics", {})
    if missing := [name for name in SHOWN.values() if name not in found]:
        raise UserError(f"the scores compare no {missing[0]}; run `python -m eval.score --against` on 8 samples a case")
    here = " and ".join(ours(name, found[metric]) for name, metric in SHOWN.items())
    before, after = (next(r for t in paper_tables() for r in t.rows if r.id == row).values for row in (BEFORE, AFTER))
    changes = {name: after[metric] - before[metric] for name, metric in SHOWN.items()}
    paper = " and ".join(f"{name} {'rise' if by > 0 else 'fall'} by {abs(by):.1f}" for name, by in changes.items())
    return f"With GRPO {here}; the paper saw {paper} points (Table 2, 75 % SFT, vanilla GRPO)."


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    p.add_argument("scores", type=Path, help="scores.json of the model after GRPO, compared with the one before")
    path = existing(p.parse_args(argv).scores, "the scores", "run `python -m eval.score --against`")
    print(sentence(json.loads(path.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    run(main)
