"""ICD scores: every label set against scikit-learn, NIL and unparsed answers by hand, intervals by simulation."""

import json

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from eval.scoring.averages import MEASURES, Answers, by_class, macro, micro
from eval.scoring.intervals import Bootstrap
from eval.scoring.metrics import INVALID
from eval.scoring.samples import read_samples
from tests.conftest import assert_refused
from tests.support.eval_folders import add, folder, scores_of
from tests.support.icd_folders import CASES, icd_folder, say

NOBODY = 99  # stands for "no prediction" in scikit-learn, outside every label set


@pytest.mark.parametrize("seed", range(5))
def test_macro_and_micro_equal_scikit_learn_for_every_set_of_labels(seed):
    random = np.random.default_rng(seed)
    size, cases = 40, 300  # 39 labels of the file and NIL; gold uses 30 of them
    gold = random.integers(0, 30, cases)
    guess = random.integers(INVALID, size, cases)
    said = np.where(random.random(cases) < 0.4, gold, guess)
    answers = Answers(said[:, None], gold, size, np.arange(size) < size - 1)
    patients, bootstrap = random.integers(0, 120, cases), Bootstrap(20)
    found = {name: (estimate.value, labels) for name, (estimate, labels) in macro(answers, patients, bootstrap).items()}
    sums = {name: estimate.value for name, estimate in micro(answers, patients, bootstrap).items()}
    predicted = np.where(said == INVALID, NOBODY, said)
    sets = {
        "": sorted(set(gold) | set(predicted) - {NOBODY}),
        "@gold": sorted(set(gold)),
        "@all": list(range(size)),
    }
    for at, labels in sets.items():
        for average, ours in (("macro", {k: v for k, (v, _) in found.items()}), ("micro", sums)):
            expected = precision_recall_fscore_support(gold, predicted, labels=labels, average=average, zero_division=0)
            assert [ours[measure + at] for measure in MEASURES] == pytest.approx(expected[:3], abs=1e-12)
        assert found[f"f1{at}"][1] == len(labels)
    per_class = precision_recall_fscore_support(gold, predicted, labels=sets[""], average=None, zero_division=0)
    rows = list(by_class(answers, patients, bootstrap))
    assert [label for label, *_ in rows] == sets[""]
    for i, measure in enumerate(MEASURES):
        assert [row[1][measure].value for row in rows] == pytest.approx(per_class[i], abs=1e-12)
    assert [row[2] for row in rows] == per_class[3].tolist()


def test_several_samples_are_so_many_runs_whose_macro_averages_are_averaged():
    random = np.random.default_rng(9)
    gold, said = random.integers(0, 5, 50), random.integers(INVALID, 6, (50, 3))
    marks, patients = np.ones(6, dtype=bool), np.arange(50)
    runs = [macro(Answers(said[:, [j]], gold, 6, marks), patients, Bootstrap(5)) for j in range(3)]
    together = macro(Answers(said, gold, 6, marks), patients, Bootstrap(5))
    for name, (estimate, _) in together.items():
        assert estimate.value == pytest.approx(np.mean([run[name][0].value for run in runs]))


def test_every_icd_metric_equals_the_one_computed_by_hand(tmp_path, command):
    out = icd_folder(tmp_path / "g")
    done = command("eval.score", "--generations", out)
    assert done.returncode == 0, done.stderr
    found = {name: row["value"] for name, row in scores_of(out)["metrics"].items()}
    labels = {name: row.get("labels") for name, row in scores_of(out)["metrics"].items()}
    by_hand = {
        "code/accuracy": 1 / 6,
        "category/accuracy": 2 / 6,  # I214 twice
        "chapter/accuracy": 3 / 6,  # and I509 by I2109
        # code: gold I214 x 2, I509, E119, J189, A419; said I214, I219, NIL x 3. Only I214: P 1/1, R 1/2, F1 2/3.
        "code/precision": 1 / 7,  # labels: the five of gold, I219, NIL
        "code/recall": (1 / 2) / 7,
        "code/f1": (2 / 3) / 7,
        "code/f1@gold": (2 / 3) / 5,
        "code/f1@all": (2 / 3) / 7,  # all six and NIL
        "code/micro_precision": 1 / 5,  # one answer was not parsed
        "code/micro_recall": 1 / 6,
        "code/micro_precision@gold": 1 / 1,  # of the answers, I214 alone is a label of gold
        # category: gold I21 x 2, I50, E11, J18, A41; said I21 x 3, NIL x 2. I21: P 2/3, R 2/2, F1 4/5.
        "category/precision": (2 / 3) / 6,
        "category/f1": (4 / 5) / 6,
        "category/f1@gold": (4 / 5) / 5,
        # chapter: gold 9 x 3, 4, 10, 1; said 9 x 3, 20. Chapter 9: 3/3, 3/3.
        "chapter/f1": 1 / 5,
        "chapter/f1@gold": 1 / 4,
        "chapter/f1@all": 1 / 5,  # chapter 20 is not of the file: 9, 4, 10, 1 and, as it occurs, 20
        "valid": 4 / 6,
        "format": 5 / 6,
        "nil": 3 / 6,
        # common prefix over the longer: 4/4, 3/4, I|509 against I|2109 1/5, does not exist 0, 0, 0/4
        "overlap": (1 + 3 / 4 + 1 / 5) / 6,
        "reasoning_words": 4,
        # 46; 1 + 27.25 - 1 = 27.25 … of the reward's table: I219 27.25, I2109 1 + 15/4, not existing -1, wrong -1, 0
        "reward": (46 + (1 + 15 * (3 / 4 + 1)) + (1 + 15 / 4) - 1 - 1 + 0) / 6,
    }
    assert {name: found[name] for name in by_hand} == pytest.approx(by_hand)
    assert (labels["code/f1"], labels["code/f1@gold"], labels["code/f1@all"], labels["chapter/f1"]) == (7, 5, 7, 5)
    for row in scores_of(out)["metrics"].values():
        assert row["interval"][0] <= row["value"] <= row["interval"][1] and row["definition"]
    chapter = scores_of(out)["groups"]["chapter"]
    assert list(chapter) == ["1", "4", "9", "10", "20"]
    assert (chapter["9"]["cases"], chapter["9"]["predicted"], chapter["9"]["metrics"]["f1"]["value"]) == (3, 3, 1)
    assert "code/f1@gold" in done.stdout


def test_the_published_evaluator_makes_a_class_of_what_it_cannot_parse(tmp_path, command):
    out = icd_folder(
        tmp_path / "g", [(1, "I214", ["I214"]), (2, "A419", [None]), (3, "J189", ["N"]), (4, "E119", ["?"])]
    )
    assert command("eval.score", "--generations", out).returncode == 0
    found = {name: row["value"] for name, row in scores_of(out)["published"].items()}
    # The parser is given "<think>" twice and takes the block alone, which starts a line: I214, N, ? are answers.
    # chapters: gold 9, 1, 10, 4; said 9, 1 (nothing parsed: a hit), 14 (N sorts before N00: 13, no label's), 1 ("?").
    assert found["chapter/f1"] == pytest.approx((1 + 2 / 3) / 5)
    assert found["code/f1"] == pytest.approx(1 / 5)  # I214; the other three golds and NIL are 0
    assert scores_of(out)["metrics"]["chapter/f1"]["value"] == pytest.approx(1 / 4)


def test_the_samples_that_are_kept_give_the_same_scores_again(tmp_path, command):
    out = icd_folder(tmp_path / "g")
    assert command("eval.score", "--generations", out).returncode == 0
    samples = read_samples(out)
    for i, level in enumerate(("chapter", "category", "code")):
        answers = Answers(
            samples.labelled.said[:, :, i],
            samples.labelled.gold[:, i],
            len(samples.labelled.names[i]),
            samples.labelled.in_file[i],
        )
        for name, (estimate, labels) in macro(answers, samples.patients, Bootstrap()).items():
            row = scores_of(out)["metrics"][f"{level}/{name}"]
            assert (estimate.value, estimate.interval(), labels) == (row["value"], row["interval"], row["labels"])


def test_two_icd_runs_are_compared_case_by_case(tmp_path, command):
    before = icd_folder(tmp_path / "before")
    after = icd_folder(tmp_path / "after", [(patient, gold, [gold]) for patient, gold, _ in CASES])
    done = command("eval.score", "--generations", after, "--against", before)
    assert done.returncode == 0, done.stderr
    paired = scores_of(after)["paired"]["metrics"]
    assert paired["code/f1"]["value"] == pytest.approx(1 - (2 / 3) / 7) and paired["code/f1"]["p"] is None
    assert (paired["code/accuracy"]["better"], paired["code/accuracy"]["p"]) == (5, 2 / 2**5)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (None, "labels.json"),
        ("{", "is no label file"),
        ('{"code": ["CHEST PAIN"]}', "no ICD-10-CM code"),
        ('{"code": []}', "is empty"),
        ('{"code": ["I214"]}', "the gold E119 is not among the 1 codes of the label file"),
    ],
)
def test_labels_of_something_else_are_refused(tmp_path, command, labels, said):
    out = icd_folder(tmp_path / "g", CASES[3:])
    file = tmp_path / "data" / "labels.json"
    file.unlink() if labels is None else file.write_text(labels)
    assert_refused(command("eval.score", "--generations", out), said)


def test_labels_for_a_drg_folder_are_refused(tmp_path, command):
    icd_folder(tmp_path / "icd")
    labels = tmp_path / "data" / "labels.json"
    assert_refused(command("eval.score", "--generations", folder(tmp_path / "g"), "--labels", labels), "for mimic_icd")


def test_a_drg_title_as_icd_gold_is_refused(tmp_path, command):
    out = icd_folder(tmp_path / "g")
    part = sorted(out.glob("part-*.parquet"))[-1]
    part.unlink()
    made_with = json.loads((out / "run.json").read_text())["settings"]
    add(out, [(5, "CHEST PAIN", [say("I214")])] * 3, 3, made_with, source="mimic_icd")
    assert_refused(command("eval.score", "--generations", out), part.name, "CHEST PAIN")


def long_tail(random: np.random.Generator, patients: int, prior: np.ndarray) -> tuple[Answers, np.ndarray]:
    """Cases of a few per patient over classes of which most are rare; a patient's cases often share their class."""
    size = len(prior)
    patient = np.repeat(np.arange(patients), random.integers(1, 4, patients))
    own, fresh = random.choice(size, patients, p=prior)[patient], random.choice(size, len(patient), p=prior)
    gold = np.where(random.random(len(patient)) < 0.5, own, fresh)
    skill = np.clip(0.05 + 0.9 * (prior / prior.max()) ** 0.25, 0, 1)[gold] + random.normal(0, 0.15, patients)[patient]
    said = np.where(random.random(len(patient)) < skill, gold, random.choice(size, len(patient), p=prior))
    return Answers(said[:, None], gold, size, np.ones(size, dtype=bool)), patient


@pytest.mark.slow
@pytest.mark.parametrize(("size", "patients"), [(22, 3000), (1000, 1000)])
def test_macro_intervals_cover_the_truth_in_95_percent_of_simulations(size, patients):
    random = np.random.default_rng(11)
    prior = 1 / np.arange(1, size + 1)
    prior /= prior.sum()
    one = Bootstrap(1)
    names = ("f1", "f1@gold", "recall@gold", "precision")
    many = [macro(*long_tail(random, patients, prior), one) for _ in range(3000)]
    truth = {name: np.mean([found[name][0].value for found in many]) for name in names}
    covered = dict.fromkeys(names, 0)
    for simulation in range(1000):
        found = macro(*long_tail(random, patients, prior), Bootstrap(400, seed=simulation))
        for name in names:
            low, high = found[name][0].interval()
            covered[name] += low <= truth[name] <= high
    print(covered)
    assert all(930 <= count <= 970 for count in covered.values()), covered
