"""The demo's last sentence says what the scores say, whichever way it went."""

import json
from pathlib import Path

import pytest

from tests.conftest import assert_refused, run_command
from tests.support.eval_folders import CHEST, MCC, folder, say, settings

MADE_WITH = settings(sampling={"n": 8, "temperature": 0.6, "top_p": 0.95, "max_tokens": 100})


def generations(out: Path, right: list[int]) -> Path:
    """A folder whose cases have so many right samples of eight."""
    rows = [(case, MCC, [say(MCC if at < count else CHEST) for at in range(8)]) for case, count in enumerate(right)]
    return folder(out, rows, made_with=MADE_WITH, per_part=len(rows))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([3] * 30, [8, 8, 0] * 10, ("Pass@1 rose (+29.2 points [", "Pass@8 fell (-33.3 points [")),
        ([0, 4] * 15, [4, 4] * 15, ("Pass@1 rose (+25.0", "Pass@8 rose (+50.0")),
        ([4] * 30, [4] * 30, ("Pass@1 did not move for certain (+0.0", "Pass@8 did not move for certain (+0.0")),
    ],
)
def test_the_sentence_is_that_of_the_scores(
    tmp_path: Path, before: list[int], after: list[int], said: tuple[str, str]
) -> None:
    first, second = generations(tmp_path / "before", before), generations(tmp_path / "after", after)
    assert run_command("eval.score", "--generations", second, "--against", first).returncode == 0
    done = run_command("eval.seen", second / "scores.json")
    assert done.returncode == 0 and done.stdout.count("\n") == 1, done.stderr
    for text in (*said, "the paper saw Pass@1 rise by 7.0 and Pass@8 fall by 11.3 points"):
        assert text in done.stdout


def test_scores_without_a_comparison_are_refused(tmp_path: Path) -> None:
    alone = generations(tmp_path / "alone", [4] * 6)
    assert run_command("eval.score", "--generations", alone).returncode == 0
    assert_refused(run_command("eval.seen", alone / "scores.json"), "drg/pass@1", "--against")
    assert_refused(run_command("eval.seen", tmp_path / "nowhere.json"), "nowhere.json")
    assert "paired" not in json.loads((alone / "scores.json").read_text())
