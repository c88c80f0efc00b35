"""eval.report through the command: a page that needs nothing else, with the papers beside it, and tables."""

import base64
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest

from commands import sha256
from data_prep import schema
from eval.curves import smoothed
from eval.figures import DARK, LIGHT
from eval.lineage import lineage
from tests.conftest import assert_refused
from tests.test_eval_icd import icd_folder
from tests.test_eval_score import CASES, SECRET, folder, say, scores_of, settings

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


@pytest.fixture
def runs(tmp_path, command) -> tuple[Path, Path]:
    before = folder(tmp_path / "before")
    after = folder(tmp_path / "after", [(patient, gold, [say(gold)] * 4) for patient, gold, _ in CASES])
    for out in (before, after):
        assert command("eval.score", "--generations", out).returncode == 0
    return before, after


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
    schema.write(rows, path)
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


def test_the_page_needs_no_network_and_holds_no_completion(tmp_path, command, runs):
    grpo = training(tmp_path / "grpo", [(step, STEP) for step in range(1, 6)])
    done = command("eval.report", "--runs", *runs, grpo, "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    page = Page(tmp_path / "report" / "index.html")
    assert all(value.startswith(("#", "https://arxiv.org/abs/")) for value in page.fetched)  # the papers, to click on
    assert not {"link", "iframe", "img", "object", "form"} & set(page.tags)
    text = (tmp_path / "report" / "index.html").read_text()
    assert not re.search(r"url\((?!#)|@import", text)
    assert SECRET not in text and "hadm_id" not in text.split('id="case-data"')[1].split("</script>")[0]
    drawn = set(re.findall(r'<figure class="[^"]*" id="figure-([^"]+)"><svg', text))
    training_curves = {"reward", "format", "accuracy", "zero_variance", "length", "kl", "agreement"}
    assert drawn == {f"training-{key}" for key in training_curves} | {
        *("accuracy-drg", "classes-drg", "confusion-drg-1", "sft-cases", "sft-share")
    }
    assert not list((tmp_path / "report").glob("figures"))


def test_page_and_terminal_show_the_scores_and_the_paired_difference(tmp_path, command, runs):
    before, after = runs
    done = command("eval.report", "--runs", f"old={before}", f"new={after}", "--out", tmp_path / "report")
    low, high = (100 * bound for bound in scores_of(before)["metrics"]["drg/pass@1"]["interval"])
    page = Page(tmp_path / "report" / "index.html")
    rows = {name: next(row for row in page.rows if row[0].startswith(f"{name} ")) for name in ("old", "new - old")}
    rows["new"] = next(row for row in page.rows if row[0].startswith("new 4 cases"))
    assert rows["old"][1].split() == ["18.8", f"[{low:.1f},", f"{high:.1f}]"]  # 3 of 16 samples, see test_eval_score
    assert rows["new"][1].split()[0] == "100.0"
    assert rows["new - old"][1].split()[0] == "+81.2"
    assert "p 0.12" in rows["new - old"][1]  # 2 x (1/2)^4
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["percent", "Pass@1", "Pass@4", "Maj@4"]
    assert lines[1] == ["DRG"] and lines[2][:2] == ["old", "18.8"] and lines[4][:4] == ["new", "-", "old", "+81.2"]
    assert done.stdout.splitlines()[-1] == str(tmp_path / "report" / "index.html")


def test_other_cases_have_no_paired_difference(tmp_path, command, runs):
    other = folder(tmp_path / "other", CASES[:3])
    assert command("eval.score", "--generations", other).returncode == 0
    command("eval.report", "--runs", runs[0], other, "--out", tmp_path / "report")
    assert not any(" - " in row[0] for row in Page(tmp_path / "report" / "index.html").rows)


def test_a_resumed_run_counts_by_the_last_row_of_a_step_and_a_half_written_line_is_left_out(tmp_path, command):
    rows = [(1, STEP), (2, STEP | {"critic/score/mean": -9.0}), (2, STEP | {"critic/score/mean": 0.25})]
    grpo = training(tmp_path / "grpo", rows, tail='{"step": 3, "da')
    done = command("eval.report", "--runs", grpo, "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    table = [line.split() for line in done.stdout.splitlines()[1:4]]
    assert table == [
        ["step", "reward", "length", "kl", "agreement"],
        ["1", "-1.500", "80.0", "0.0010", "0.9980"],
        ["2", "0.250", "80.0", "0.0010", "0.9980"],
    ]


def test_steps_are_thinned_and_what_verl_did_not_log_at_a_step_is_a_dash(tmp_path, command):
    rows = [(step, {"critic/score/mean": float(step)}) for step in range(1, 100)]
    rows.append((100, {"critic/score/mean": 100.0, "response_length/mean": 7.0}))
    done = command("eval.report", "--runs", training(tmp_path / "grpo", rows), "--out", tmp_path / "report")
    table = [line.split() for line in done.stdout.splitlines()[2:-2]]
    assert len(table) == 12 and table[0] == ["1", "1.000", "-"] and table[-1] == ["100", "100.000", "7.0"]


def test_long_curves_are_smoothed_over_50_steps_and_short_ones_are_not():
    values = [float(i) for i in range(200)]
    found = smoothed(values)
    assert found[0] == 0 and found[1] == 0.5 and found[199] == sum(values[150:]) / 50
    assert smoothed(values[:99]) is None


def test_names_are_shown_as_text(tmp_path, command, runs):
    named = (f"<b>1 & 2</b>={runs[0]}", f"_old $\\frac$={runs[1]}")
    done = command("eval.report", "--runs", *named, "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    page = Page(tmp_path / "report" / "index.html")
    assert "b" not in page.tags
    assert page.words.count("_old $\\frac$") > 3  # in figures, too: no formula, and not left out


def test_what_cannot_be_shown_is_refused(tmp_path, command, runs):
    empty, broken = tmp_path / "empty", training(tmp_path / "broken", [(1, STEP)], tail="oops\n{}\n")
    empty.mkdir()
    for run, said in (
        (tmp_path / "nowhere", "does not exist"),
        (empty, "neither scores.json (an evaluation) nor metrics.jsonl"),
        (folder(tmp_path / "unscored"), "run `python -m eval.score --generations"),
        (broken, "line 2 is no row"),
        (training(tmp_path / "early", []), "has no training step yet"),
    ):
        assert_refused(command("eval.report", "--runs", run, "--out", tmp_path / "report"), said)
    assert_refused(
        command("eval.report", "--runs", runs[0], "--out", empty / "f", "--cases", "-1"), "--cases must be 0"
    )
    assert_refused(command("eval.report", "--runs", runs[0], "--out", runs[0] / "run.json"), "is a file")
    assert_refused(command("eval.report", "--runs", runs[0], "--out", empty / "r", "--data", empty / "no"), "not exist")
    assert not (tmp_path / "report").exists() and not list(empty.iterdir())


def test_notes_and_completions_are_embedded_on_request_alone_and_with_a_warning(tmp_path, command):
    data = notes(tmp_path / "test.parquet")
    made_with = settings(data={"name": str(data), "sha256": sha256(data), "limit": None})
    out = folder(tmp_path / "run", made_with=made_with)
    assert command("eval.score", "--generations", out).returncode == 0
    done = command("eval.report", "--runs", out, "--out", tmp_path / "report", "--embed-notes")
    assert done.returncode == 0, done.stderr
    assert "warning:" in done.stderr and "data use agreement" in done.stderr
    text = (tmp_path / "report" / "index.html").read_text()
    assert "This file holds clinical notes" in text
    (chunk,) = re.findall(r'id="case-text-0-0">([^<]*)<', text)
    cases = json.loads(zlib.decompress(base64.b64decode(chunk)))
    assert [case["note"] for case in cases] == [f"{NOTE} {i}" for i in range(4)]
    assert cases[0]["runs"][0]["completions"] == CASES[0][2]
    first = cases[0]["runs"][0]
    assert [first["explained"][i].splitlines()[-1].split() for i in first["of"]] == [
        ["score", "2"], ["score", "2"], ["score", "0"], ["score", "-1.5"]
    ]  # fmt: skip


def test_notes_that_are_not_where_the_run_found_them_are_asked_for(tmp_path, command, runs):
    done = command("eval.report", "--runs", runs[0], "--out", tmp_path / "report", "--embed-notes")
    assert_refused(done, "the notes of", "give that file or its folder as --data")
    assert not (tmp_path / "report").exists()


def test_figures_are_files_too(tmp_path, command, runs, world):
    words = ("--runs", runs[0], "--out", tmp_path / "report", "--figures", "--data", world.data)
    done = command("eval.report", *words)
    assert done.returncode == 0, done.stderr
    shown = set(re.findall(r'id="figure-([^"]+)"', (tmp_path / "report" / "index.html").read_text()))
    files = {path.name for path in (tmp_path / "report" / "figures").iterdir()}
    assert files == {f"{key}.{kind}" for key in shown for kind in ("png", "pdf")} and "labels-drg.pdf" in files
    for name in files:
        start = (tmp_path / "report" / "figures" / name).read_bytes()[:5]
        assert start.startswith(b"%PDF-" if name.endswith("pdf") else b"\x89PNG")


def test_prepared_data_are_described(tmp_path, command, runs, world):
    done = command("eval.report", "--runs", runs[0], "--out", tmp_path / "report", "--data", world.data / "drg")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((world.data / "drg" / "manifest.json").read_text())
    rows = {
        row[0].strip(): [cell.strip() for cell in row] for row in Page(tmp_path / "report" / "index.html").rows if row
    }
    for name, file in manifest["files"].items():
        assert rows[name][1] == f"{file['rows']:,}"
    for step in manifest["filters"]:
        assert rows[step["name"]][1:3] == [f"{step['before']:,}", f"{step['after']:,}"]


def test_icd_runs_are_shown_with_macro_averages_and_chapters(tmp_path, command):
    answers = [("I214", "I214"), ("I509", "I214"), ("E119", "E1165"), ("J189", "x")]
    cases = [(i, gold, [said]) for i, (gold, said) in enumerate(answers)]
    out = icd_folder(tmp_path / "icd", cases, ["I214", "I509", "E119", "J189"])
    scored = command("eval.score", "--generations", out)
    assert scored.returncode == 0, scored.stderr
    done = command("eval.report", "--runs", f"table3/qwen7b={out}", "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["percent", "recall", "precision", "F1"] and lines[1] == ["chapter"]
    text = (tmp_path / "report" / "index.html").read_text()
    assert {"figure-accuracy-icd", "figure-classes-icd", "figure-confusion-icd-1"} <= set(
        re.findall(r'id="([^"]+)"', text)
    )
    paper = next(
        row for row in Page(tmp_path / "report" / "index.html").rows if row[0].startswith("Qwen2.5-7B-Instruct")
    )
    assert "39.0" in [cell.strip() for cell in paper] and "unknown data" in paper[0]


def test_numbers_of_other_data_never_stand_in_the_column_of_a_reproduction(tmp_path, command, runs):
    command("eval.report", "--runs", f"table1/strict={runs[0]}", "--out", tmp_path / "report")
    rows = Page(tmp_path / "report" / "index.html").rows
    heads = next(row for row in rows if row[0].startswith("row, command"))
    strict = next(row for row in rows if row[0].startswith("strict reward"))
    assert [head.strip() for head in heads[1:4]] == ["paper", "ours, MIMIC-IV", "ours, other"]
    assert [cell.split()[0] for cell in strict[1:4]] == ["40.1", "not", "18.8"]
    assert "unknown data" in strict[0] and "bash recipes/drg_sapphire/reproduce.sh table1/strict" in strict[0]
    other = next(row for row in rows if row[0].startswith("vanilla GRPO + dense"))
    assert [cell.strip() for cell in other[1:4]] == ["38.5", "not run", "-"]


def made(place: Path, release: str, overrides: list[str]) -> dict:
    """run.json of an evaluation whose model a recipe trained, on data of a release."""
    (place / "data").mkdir(parents=True)
    (place / "data" / "manifest.json").write_text(json.dumps({"releases": {"hosp": release}}))
    (place / "run").mkdir()
    recipe = {"recipe": "drg_sapphire/best", "overrides": overrides, "model": str(place / "sft")}
    (place / "run" / "run.json").write_text(json.dumps(recipe))
    changed = {"name": str(place / "data" / "test.parquet"), "sha256": "0", "limit": None}
    return {"settings": settings(model={"name": str(place / "run" / "hf_model"), "fingerprint": "f"}, data=changed)}


def test_an_evaluation_is_the_row_that_its_models_recipe_trains(tmp_path):
    real = lineage("x", made(tmp_path / "real", "3.1", ["sft_share=90"]))
    assert (real.row.id, real.stage, real.reason) == ("table2/90/best", "GRPO", None)
    assert (
        lineage("table2-75-sft", made(tmp_path / "named", "3.1", [])).row.id == "table2/75/sft"
    )  # reproduce.sh's name
    small = lineage("x", made(tmp_path / "small", "2.2", ["hardware=cpu", "sft_share=90"]))
    assert small.reason == "model and steps scaled down"
    assert lineage("x", made(tmp_path / "made", "unknown or synthetic", [])).reason == "synthetic data"
    assert lineage("x", {"settings": settings()}).reason == "unknown data"


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_colours_differ_in_lightness_or_hue_for_every_kind_of_colour_vision(palette):
    """Machado's matrices for the two common kinds; the distance in linear RGB between any two of the first three."""
    kinds = {
        "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
        "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    }

    def seen(colour: str, matrix: tuple) -> list[float]:
        rgb = [(int(colour[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5)]
        return [
            max(0.0, sum(weight * value for weight, value in zip(row, rgb, strict=True))) ** (1 / 2.2) for row in matrix
        ]

    for matrix in kinds.values():
        colours = [seen(colour, matrix) for colour in palette.series[:3]]
        for i, one in enumerate(colours):
            for other in colours[:i]:
                assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5 > 0.2
