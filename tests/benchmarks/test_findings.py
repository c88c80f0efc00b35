"""The studies as a user starts them: what they plan, what they refuse, what they skip, and what their page says."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.findings import AT_ONCE, YAML, table
from benchmarks.studies import page, plan
from benchmarks.studies.exact_only import compute_score
from benchmarks.studies.jobs import Jobs
from benchmarks.studies.results import results
from data_prep import parquet
from reward_fns import icd
from tests.conftest import ROOT, World, assert_refused, run_command, run_process
from tests.support.eval_folders import CHEST, MCC, folder, say, scored, settings

HOURS = 2.5


@pytest.fixture
def asked(tmp_path: Path) -> plan.Plan:
    return plan.read(YAML, tmp_path / "out")


def changed(place: Path, before: str, after: str) -> Path:
    """The YAML with one thing changed."""
    text = YAML.read_text()
    assert before in text
    path = place / "changed.yaml"
    path.write_text(text.replace(before, after))
    return path


def test_all_studies_fit_into_an_afternoon_and_make_shared_runs_once(asked: plan.Plan) -> None:
    jobs = Jobs(asked).of(asked.chosen([]))
    keys = [job.key for job in jobs]
    assert len(keys) == len(set(keys)) and len(asked.studies) == 6 and len(asked.seeds) >= 3
    trained = [key for key in keys if key.startswith("grpo/")]
    assert len(trained) == len(asked.said["runs"]) * len(asked.seeds)
    assert sum(job.seconds for job in jobs) / AT_ONCE <= HOURS * 3600
    of_one = {job.key for job in Jobs(asked).of(asked.chosen(["reward"]))}
    assert of_one < set(keys) and not any("third" in key or "icd" in key for key in of_one)
    for at, job in enumerate(jobs):
        assert all(before.key in keys[:at] for before in job.after), job.key


def test_the_plan_names_every_run_and_the_time(tmp_path: Path) -> None:
    done = run_command("benchmarks.findings", "--plan", "--only", "sharpens", "reward", "--out", tmp_path / "new")
    assert done.returncode == 0, done.stderr
    for key in ("world", "sft/sft-1", "grpo/strict-3", "grpo/dense-2", "eval/sft-3"):
        assert f"{key} " in done.stdout
    assert "19 jobs, 19 to do in about " in done.stdout
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "recipe: drg_sapphire/dense",
            "recipe: drg_sapphire/dens",
            ("runs.dense", "did you mean"),
        ),
        ("metric: drg/pass@8", "metric: drg/pass@9", ("studies.sharpens", "drg/pass@9", "did you mean")),
        ("metric: category/f1", "metric: drg/pass@1", ("studies.hierarchy", "no metric 'drg/pass@1'")),
        ("of: strict, minus: dense", "of: strikt, minus: dense", ("studies.reward", "strikt", "did you mean strict")),
        ("expect: down}", "expect: sideways}", ("expect: up", "down")),
        ("start: form,", "begin: form,", ("runs.untuned", "begin")),
        ("start: form,", "start: from,", ("runs.untuned", "no start from", "did you mean form")),
        ("recipe: drg_sapphire/untuned}", "recipe: null}", ("runs.untuned.recipe",)),
        ("{task: icd,", "{", ("starts.icd_sft.task",)),
        ("{task: icd,", "{task: ics,", ("starts.icd_sft", "task ics")),
        ("limit: 250, n: 8,", "limit: 250, n: many,", ("evaluation.drg.n",)),
        ("seeds: [1, 2, 3]", "seeds: 3", ("seeds",)),
        ("evaluation: [50, 0.02]}\n  gpu", "}\n  gpu", ("seconds.cpu.evaluation",)),
        ("less: 0.05", "less: five", ("less", "five")),
        ("less: 0.05", "minus: form, less: 0.05", ("more than one of",)),
        ("of: untuned, less", "of: [untuned, exact], less", ("two tasks",)),
        ("slope: [strict_ninth, strict_third, strict]", "slope: [strict]", ("different numbers",)),
        ("says: Pass@1 rises,", "", ("says",)),
        ("curves: [length,", "curves: [lenght,", ("studies.drift.figure", "lenght", "did you mean length")),
        ("runs: [strict, dense]}", "runs: [strict, sft]}", ("studies.drift.figure", "sft")),
        ('papers: ["paper, vanilla"]', 'papers: ["paper, vanila"]', ("vanila", "did you mean")),
        ("here: [form, untuned]}", "}", ("studies.untuned.figure", "`here`")),
        ("trainer.test_freq=-1", "trainer.test_frequ=-1", ("runs.", "trainer.test_frequ")),
        ("strict: table1/strict}", "strict: table1/strikt}", ("table1/strikt", "did you mean")),
        ("\nsteps: 20\n", "\n", ("lacks the key steps",)),
    ],
)
def test_a_mistake_in_the_yaml_is_a_sentence(tmp_path: Path, before: str, after: str, said: tuple[str, ...]) -> None:
    path = changed(tmp_path, before, after)
    assert_refused(run_command("benchmarks.findings", "--plan", "--config", path, "--out", tmp_path / "new"), *said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--only", "sharpen"), ("'sharpen'", "did you mean sharpens")),
        (("--seeds", 1, 2), ("2 different seeds", "give 3 or more")),
        (("--seeds", 4, 4, 4), ("4, 4, 4 names a seed twice",)),
        (("--seeds", 1, 1, 2, 3), ("names a seed twice",)),
        (("--config", "nowhere.yaml"), ("nowhere.yaml does not exist",)),
        (("--at-once", 0), ("--at-once 0",)),
        (("--hardware", "h200x9"), ("h200x9", "there is")),
    ],
)
def test_bad_options_are_a_sentence(tmp_path: Path, words: tuple[object, ...], said: tuple[str, ...]) -> None:
    assert_refused(run_command("benchmarks.findings", *words, "--plan", "--out", tmp_path / "new"), *said)


def test_another_place_is_no_other_setting(tmp_path: Path) -> None:
    prints = [Jobs(plan.read(YAML, tmp_path / name)).of([])[0].print for name in ("a", "b")]
    assert prints[0] == prints[1]
    changed_prints = Jobs(plan.read(changed(tmp_path, "notes: 3200", "notes: 3300"), tmp_path / "a")).of([])[0].print
    assert changed_prints != prints[0]


def test_what_a_configuration_says_decides_as_well(tmp_path: Path) -> None:
    def prints(before: str, after: str) -> dict[str, str]:
        asked = plan.read(changed(tmp_path, before, after), tmp_path / "a")
        return {job.key: job.print for job in Jobs(asked).of(asked.chosen(["hierarchy"]))}

    shutil.copytree(ROOT / "recipes/deepicd_r1/sft", tmp_path / "sft")
    sft, reward = tmp_path / "sft/mine.yaml", tmp_path / "exact.py"
    names = "config: recipes/deepicd_r1/sft/tiny.yaml", "benchmarks/studies/exact_only.py"
    made = []
    for more in ("", "# more\n"):
        sft.write_text((ROOT / names[0].partition(" ")[2]).read_text() + more)
        reward.write_text((ROOT / names[1]).read_text() + more)
        made.append((prints(names[0], f"config: {sft}"), prints(names[1], str(reward))))
    (first, second), (by_sft, by_reward) = made
    differ = {key for key in first if first[key] != by_sft[key]}
    assert differ == {key for key in first if key != "world"}
    assert {key.rpartition("-")[0] for key in first if second[key] != by_reward[key]} == {"grpo/exact", "eval/exact"}


def evaluate(asked: plan.Plan, right: dict[str, Callable[[int, int], int]], cases: int = 40) -> None:
    """Scored folders of models: how many of 8 samples are right, by seed and case."""
    made_with = settings(sampling={"n": 8, "temperature": 0.6, "top_p": 0.95, "max_tokens": 100})
    for model, count in right.items():
        for seed in asked.seeds:
            rows = [
                (case, MCC, [say(MCC if at < count(seed, case) else CHEST) for at in range(8)]) for case in range(cases)
            ]
            out = folder(asked.folder("eval", model, seed), rows, made_with=made_with, per_part=20)
            scored(run_command, out)


def test_the_page_and_the_table_say_what_the_scores_say(asked: plan.Plan) -> None:
    """Before, every case is right in three or four of eight samples; after, two cases of three are so always."""
    before, after = (lambda seed, case: 3 + (case + seed) % 2), (lambda seed, case: 8 * (case < 27 + seed))
    evaluate(asked, {"sft": before, "strict": after})
    (found,) = results(asked, asked.chosen(["sharpens"]))
    verdicts = [said.verdict for said in found.claims]
    assert verdicts == ["shows", "shows", "shows"] and found.verdict == "shows"
    rise = found.claims[0]
    assert rise.effect.value == pytest.approx(29 / 40 - 3.5 / 8) and rise.text().endswith("points")
    text = page.render(asked, [found], {"world": 61.0}, ["0123abc"], quick=False)
    assert "http" not in text.replace("http://www.w3.org", "").replace("http-equiv", "")
    assert (
        text.count("<svg") == 1 and "0123abc" in text and "46.5 to 53.5" in text and "figures mean nothing" not in text
    )
    assert f"| {found.study.title}: **shows** | Pass@1 rises | {rise.text()} |" in table([found])
    assert "No figure here means anything" in page.render(asked, [found], {}, [], quick=True)


def test_the_opposite_is_said(asked: plan.Plan) -> None:
    evaluate(asked, {"strict": lambda seed, case: 2, "dense": lambda seed, case: 6 + case % 2})
    (found,) = results(asked, asked.chosen(["reward"]))
    assert found.verdict == "opposite" and found.claims[0].effect.value == pytest.approx((2 - 6.5) / 8)


def test_samples_of_cases_are_nested_and_the_form_answers_no_case(world: World, tmp_path: Path) -> None:
    data = world.data / "drg/sft/full_75.parquet"

    def take(cases: int, *more: object) -> Path:
        out = tmp_path / f"{cases}{len(more)}.parquet"
        words = ("--data", data, "--cases", cases, "--out", out, *more)
        done = run_command("benchmarks.studies.cases", *words)
        assert done.returncode == 0, done.stderr
        return out

    small, large = ({*parquet.infos(parquet.read(take(cases)), "hadm_id")} for cases in (20, 60))
    assert len(small) == 20 and small < large
    form = take(60, "--form", "--traces", world.mimic / "traces.parquet")
    rows = pq.read_table(form).to_pylist()
    golds = dict(
        zip([row["prompt"][-1]["content"] for row in parquet.read(data).to_pylist()], parquet.golds(data), strict=True)
    )
    right = [f"<answer>\n{golds[row['prompt'][-1]['content']]}\n" in row["completion"][0]["content"] for row in rows]
    assert sum(right) < 10  # by chance
    assert_refused(run_command("benchmarks.studies.cases", "--data", data, "--cases", 0, "--out", form), "--cases 0")


@pytest.mark.parametrize(
    ("said", "hierarchical", "exact"),
    [
        ("I21.4", 46.0, 46.0),
        ("I219", 27.25, 0.0),
        ("I50", 4.75, 0.0),
        ("E119", 0.0, 0.0),
        ("Q9999", -1.0, -1.0),
    ],
)
def test_without_the_hierarchy_a_code_is_right_or_not(said: str, hierarchical: float, exact: float) -> None:
    text = f"<think>\nwords\n</think>\n<diagnosis>\n{said}\n</diagnosis>"
    assert icd.compute_score("mimic_icd", text, "I214")["score"] == hierarchical
    assert compute_score("mimic_icd", text, "I214", judge_weight=0.0, base_url="nowhere")["score"] == exact


@pytest.mark.slow
def test_one_study_runs_in_its_smallest_size_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    words = ("benchmarks.findings", "--quick", "--only", "untuned", "--out", tmp_path / "f")
    done = run_process(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "untuned: too few runs;" in done.stdout.partition("| finding |")[0]
    found = json.loads((tmp_path / "f-quick/findings.json").read_text())
    assert found["studies"]["untuned"]["verdict"] == "too few runs"
    text = (tmp_path / "f-quick/index.html").read_text()
    assert "<svg" in text and "No figure here means anything" in text and "the figures mean nothing" in done.stderr
    again = run_process(*words)
    assert again.returncode == 0 and "5 of 5 jobs are done already" in again.stdout
