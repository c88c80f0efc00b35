"""A model card for a trained folder, from its run.json and its scores: what it is, how it was made, how good it is.

    python -m eval.card --run runs/drg_sapphire/strict/mine --scores runs/eval/strict/scores.json

It is a README.md beside the model (or --out FILE), with the notice on the data that comes before any sharing. Nothing
is uploaded.
"""

import json
from pathlib import Path
from typing import Any

import jinja2

from common import record
from common.commands import UserError, existing, parser, run
from common.files import whole_file
from eval.page.lineage import unfit
from reward_fns.task import TASKS

TEMPLATE = Path(__file__).parent / "page" / "static" / "card.md"


def card(folder: Path, scores: Path | None) -> str:
    """The text of the card."""
    made = record.read(folder)
    source = made.get("source", {})  # of fine-tuning; a run of verl has a recipe
    if not source and "recipe" not in made:
        raise UserError(f"{folder} has no {record.NAME}; give the folder of a run of recipes/launch.sh or sft.train")
    found = _scores(scores) if scores else None
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        made=made,
        name=made.get("recipe") or source.get("name") or "A fine-tuned model",
        start=made.get("model") or source.get("model"),
        task=TASKS[found["task"]] if found else None,
        scores=found,
        shown=_shown(found) if found else {},
        data={unfit(Path(name)) for name in made.get("data", ())},
    )


def _scores(path: Path) -> dict[str, Any]:
    try:
        return json.loads(existing(path, "the scores", "run eval.score, which writes them").read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}); run eval.score again") from error


def _shown(scores: dict[str, Any]) -> dict[str, Any]:
    """The metrics of the task's main table, at every level."""
    task = TASKS[scores["task"]]
    columns = [name.replace("@n", f"@{scores['samples']}") for name in task.columns]
    names = [f"{level.key}/{name}" for level in task.levels for name in columns]
    return {name: scores["metrics"][name] for name in names if name in scores["metrics"]}


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    p.add_argument("--run", type=Path, required=True, help="folder of a training, with its run.json")
    p.add_argument("--scores", type=Path, help="scores.json of eval.score for this model")
    p.add_argument("--out", type=Path, help="the card (default: README.md in the model's folder)")
    given = p.parse_args(argv)
    text = card(given.run, given.scores)
    model = given.run / "hf_model" if (given.run / "hf_model").is_dir() else given.run
    out = given.out or model / "README.md"
    with whole_file(out) as file:
        file.write_text(text, encoding="utf-8")
    print(f"{out}: read its notice on the data before you share the model")


if __name__ == "__main__":
    run(main)
