"""What tests of the report share: training runs, notes, and a page taken apart."""

import json
from html.parser import HTMLParser
from pathlib import Path

from data_prep import parquet
from tests.support.eval_folders import CASES

STEP = {
    "critic/score/mean": -1.5,
    "response_length/mean": 80.0,
    "actor/kl_loss": 0.001,
    "training/rollout_actor_probs_pearson_corr": 0.998,
    "groups/zero_variance": 0.25,
    "reward/format/mean": -0.5,
    "reward/accuracy/mean": -1.0,
}
NOTE = "an original note of a stay"


def training(out: Path, rows: list[tuple[int, dict]], tail: str = "") -> Path:
    """A training run folder: what verl's file logger and the launcher write."""
    out.mkdir()
    lines = [json.dumps({"step": step, "data": data}) + "\n" for step, data in rows]
    (out / "metrics.jsonl").write_text("".join(lines) + tail)
    (out / "run.json").write_text(json.dumps({"recipe": "drg_sapphire/strict", "commit": "0123abc", "overrides": []}))
    return out


def notes(path: Path, cases=CASES, text: str = NOTE) -> Path:
    """The data file that the cases' notes are in."""
    rows = [
        {
            "data_source": "mimic_drg",
            "prompt": [{"role": "user", "content": f"{text} {i}"}],
            "ability": "drg",
            "reward_model": {"style": "rule", "ground_truth": gold},
            "extra_info": {
                "index": i, "split": "test", "hadm_id": 100 + i, "subject_id": patient, "prompt_tokens": None,
                "note_truncated": False,
            },
        }
        for i, (patient, gold, _) in enumerate(cases)
    ]  # fmt: skip
    parquet.write(rows, path)
    return path


class Page(HTMLParser):
    """The page's words, what it would fetch, and its tables as lists of rows of cells."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched, self.tags, self.rows, self.words = [], [], [], ""
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href", "xlink:href", "data", "action")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        self.words += data
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += " ".join(data.split()) + " "
