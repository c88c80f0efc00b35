"""Training a classifier through its command, and what it answers: transformers' Trainer on the tiny model."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from data_prep import parquet
from eval.generation import parts
from reward_fns.task import TASKS
from sft.classify import Source, main, measured
from sft.training import settings
from tests.conftest import ROOT, World, assert_refused, run_command, run_process
from tests.data_prep.codiesp.corpus import CASES, write_corpus
from tests.support.eval_folders import folder, scores_of
from tests.support.eval_folders import settings as made_with

TINY = ("--config", "recipes/drg_sapphire/sft/classifier_tiny.yaml")
SETS = ("--config", "recipes/codiesp/sft/classifier.yaml", "--hardware", "cpu", "--learning_rate", 5e-3)


def classify(world: World, out: Path, *flags: object, **environment: str) -> subprocess.CompletedProcess[str]:
    words = ("sft.classify", *TINY, "--model", world.model, "--data", world.data, "--output_dir", out, *flags)
    return run_process(*words, OMP_NUM_THREADS="2", **environment)


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line)["data"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def answered(model: Path, data: Path, out: Path, *words: object) -> dict[str, Any]:
    done = run_command("eval.classify", "--data", data, "--model", model, "--out", out)
    assert done.returncode == 0, done.stderr
    done = run_command("eval.score", "--generations", out, "--bootstrap", 200, *words)
    assert done.returncode == 0, done.stderr
    return scores_of(out)


@pytest.fixture(scope="module")
def model(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs on some 400 notes, cut to 100 tokens."""
    out = tmp_path_factory.mktemp("classifier") / "c"
    done = classify(world, out, "--num_train_epochs", 2, "--note_tokens", 100, "--logging_steps", 1)
    assert done.returncode == 0, done.stderr
    (out / "stderr.txt").write_text(done.stderr)
    return out


def test_training_counts_what_it_cuts_and_keeps_the_best_epoch(world: World, model: Path) -> None:
    cases = parquet.read(world.data / "drg/sft/full_95.parquet").num_rows
    said = (model / "stderr.txt").read_text()
    assert f"{cases} cases, " in said and " notes cut to 100 tokens" in said and "held-out loss" in said
    rows = metrics(model)
    held = [row["eval_loss"] for row in rows if "eval_loss" in row]
    assert len(held) == 2 and all("eval_accuracy" in row for row in rows if "eval_loss" in row)
    run = json.loads((model / "run.json").read_text())
    assert run["metrics"]["train_loss"] > 0 and len(run["data"]) == 2 and run["source"]["note_tokens"] == 100
    assert not list(model.glob("checkpoint-*"))
    words = ("sft.classify", *TINY, "--model", world.model, "--data", world.data, "--output_dir", model)
    assert_refused(run_command(*words), "finished run", "--fresh")


def test_a_folder_of_answers_has_the_models_own_probabilities(world: World, model: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    data, out = world.data / "drg/test.parquet", tmp_path / "c"
    scores = answered(model, data, out, "--risk")
    settings = json.loads((out / "run.json").read_text())["settings"]
    ((_, table),) = parts.read(out, settings)
    network, tokenizer = (
        of.from_pretrained(model) for of in (AutoModelForSequenceClassification, AutoTokenizer)
    )  # fmt: skip
    row = table.to_pylist()[0]
    (chat,) = [r["prompt"] for r in parquet.read(data).to_pylist() if r["extra_info"]["index"] == row["index"]]
    note = chat[-1]["content"].removeprefix("Hospital course:\n").removesuffix("\n\nWhich DRG is it?")
    ids = tokenizer(note)["input_ids"][:100]
    with torch.inference_mode():
        chances = torch.softmax(network(torch.tensor([ids])).logits[0], dim=0)
    names = network.config.id2label
    for label, chance in row["chances"]:
        assert chance == pytest.approx(float(chances[network.config.label2id[label]]), abs=1e-4)
    best = names[int(chances.argmax())]
    assert row["chances"][0][0] == best and best in row["completions"][0]
    # Pass@1 is whether the most probable class is right; the ranks count what is behind it
    golds, ranked = table["ground_truth"].to_pylist(), [[k for k, _ in each] for each in table["chances"].to_pylist()]
    for name, k in (("pass@1", 1), ("maj@1", 1), ("top@5", 5), ("top@10", 10)):
        right = np.mean([gold in labels[:k] for gold, labels in zip(golds, ranked, strict=True)])
        assert scores["metrics"][f"drg/{name}"]["value"] == pytest.approx(right)
    risk = json.loads((out / "risk_coverage.json").read_text())
    first = [each[0] for each in table["chances"].to_pylist()]
    lowest = risk["table"][-1]
    assert lowest["share"] == pytest.approx(min(chance for _, chance in first)) and lowest["coverage"] == 1
    assert "probability" in risk["definition"]
    assert lowest["accuracy"] == pytest.approx(scores["metrics"]["drg/pass@1"]["value"])
    done = run_command("eval.report", "--runs", out, "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    again = run_command("eval.classify", "--data", data, "--model", model, "--out", out)
    assert again.returncode == 0 and len(list(out.glob("part-*"))) == 1  # nothing was missing


@pytest.fixture(scope="module")
def corpus(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Invented cases of CodiEsp's layout, each of them twenty times, so that they can be learnt."""
    place = tmp_path_factory.mktemp("corpus")
    cases = {
        split: [(f"S{i:03}-{at}", text, codes) for i in range(20) for at, (_, text, codes) in enumerate(some)]
        for split, some in CASES.items()
    }
    cases["dev"] = [(f"D{i}", text, codes) for i, (_, text, codes) in enumerate(CASES["train"] + CASES["dev"])]
    cases["test"] = [(f"T{i}", text, codes) for i, (_, text, codes) in enumerate(CASES["train"] + CASES["test"])]
    written = write_corpus(place / "corpus", cases)
    done = run_command("data_prep.codiesp", "--corpus", written, "--out", place / "data", "--tokenizer", world.model)
    assert done.returncode == 0, done.stderr
    return place / "data"


@pytest.fixture(scope="module")
def of_sets(world: World, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sets") / "c"
    words = ("sft.classify", *SETS, "--data", corpus, "--model", world.model, "--output_dir", out)
    done = run_process(*words, "--num_train_epochs", 6, OMP_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr
    return out


def test_sets_are_learnt_and_the_probability_is_the_one_that_did_best_on_dev(
    corpus: Path, of_sets: Path, tmp_path: Path
) -> None:
    dev, test = (tmp_path / split for split in ("dev", "test"))
    answered(of_sets, corpus / "codiesp/dev.parquet", dev)
    scores = answered(of_sets, corpus / "codiesp/test.parquet", test, "--dev", dev)
    least = json.loads((of_sets / "config.json").read_text())["medcode"]["least"]
    assert 0 < least < 1
    ((_, table),) = parts.read(test, json.loads((test / "run.json").read_text())["settings"])
    for row in table.to_pylist():
        said = [code for code, chance in row["chances"] if chance >= least - 1e-6]
        assert TASKS["icd_set"].completion("-", ", ".join(said)) == row["completions"][0]
    found = scores["metrics"]
    assert found["code/micro_f1"]["value"] > 0.5 and found["code/ap"]["value"] > 0.5  # three texts of five are known
    assert "the probability in 100 steps" in found["code/ap"]["definition"]
    curve = scores["votes"]["code"]["curve"]
    assert len(curve) == 100 and curve[0]["recall"]["value"] >= curve[-1]["recall"]["value"]
    # by hand: micro F1 of the codes with at least the chosen probability
    chosen = scores["votes"]["code"]["chosen"]
    said = [{code for code, chance in each if chance >= chosen} for each in table["chances"].to_pylist()]
    golds = [set(gold.split(", ")) for gold in table["ground_truth"].to_pylist()]
    right = sum(len(a & b) for a, b in zip(said, golds, strict=True))
    f1 = 2 * right / (sum(map(len, said)) + sum(map(len, golds)))
    assert scores["votes"]["code"]["f1"]["value"] == pytest.approx(f1)


def test_the_best_probability_is_found_by_trying_all() -> None:
    rng = np.random.default_rng(0)
    logits, right = rng.normal(size=(30, 8)), (rng.random((30, 8)) < 0.3).astype(float)
    found = measured(logits, right, TASKS["icd_set"], missing=5)
    tried = {
        float(least): 2 * right[logits >= least].sum() / ((logits >= least).sum() + right.sum() + 5)
        for least in logits.ravel()
    }
    assert found["micro_f1"] == pytest.approx(max(tried.values()))
    best = max(tried, key=tried.__getitem__)
    assert found["least"] == pytest.approx(1 / (1 + np.exp(-best)))
    assert measured(logits, logits.argmax(axis=1), TASKS["drg"], 0) == {"accuracy": 1.0}


@pytest.mark.slow
def test_adapters_end_in_one_whole_model_with_its_head(world: World, model: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    out = tmp_path / "c"
    flags = ("--lora_rank", 4, "--num_train_epochs", 1, "--bf16", "true", "--dev", "")
    done = classify(world, out, *flags)
    assert done.returncode == 0, done.stderr
    before = AutoModelForSequenceClassification.from_pretrained(world.model, num_labels=2).state_dict()
    after = AutoModelForSequenceClassification.from_pretrained(out).state_dict()
    moved = {name for name in before if name != "score.weight" and (before[name] != after[name]).any()}
    assert moved and all(name.split(".")[-2] in ("q_proj", "k_proj", "v_proj", "o_proj") for name in moved)
    # the head was trained in float32, beside a base of half precision
    assert (after["score.weight"].to(torch.bfloat16).float() != after["score.weight"]).any()
    head = AutoModelForSequenceClassification.from_pretrained(model).state_dict()["score.weight"]
    assert after["score.weight"].shape == head.shape and "eval_loss" not in str(metrics(out))


@pytest.mark.slow
def test_a_killed_training_goes_on(world: World, tmp_path: Path) -> None:
    out = tmp_path / "c"
    words = [*TINY, "--model", str(world.model), "--data", str(world.data), "--output_dir", str(out)]
    words += ["--note_tokens", "100", "--num_train_epochs", "6"]
    started = subprocess.Popen([sys.executable, "-m", "sft.classify", *words], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(out.glob("checkpoint-*/trainer_state.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert not (out / "run.json").exists()
    done = run_process("sft.classify", *words)
    assert done.returncode == 0 and "going on from step" in done.stderr, done.stderr
    assert len([row for row in metrics(out) if "eval_loss" in row]) == 6  # those before the kill, too


@pytest.mark.slow
def test_the_classifier_is_better_than_the_most_frequent_drg(tmp_path: Path) -> None:
    """A cohort of 2,000 notes: accuracy against the majority class of the training cases, paired."""
    mimic, data, model = (tmp_path / name for name in ("mimic", "data", "model"))
    for words in (
        ("data_prep.synthesize", "--out", mimic, "--notes", 2000),
        ("data_prep.tiny_model", "--note", mimic / "note", "--out", model, "--hidden", 64, "--layers", 2),
        ("data_prep.drg", "--hosp", mimic / "hosp", "--note", mimic / "note", "--out", data, "--split", "patient"),
    ):
        done = run_command(*words)
        assert done.returncode == 0, done.stderr
    flags = ("--num_train_epochs", 2, "--learning_rate", 5e-3)  # half a minute
    done = classify(World(mimic, data, model), tmp_path / "c", *flags)
    assert done.returncode == 0, done.stderr
    test = data / "drg/test.parquet"
    majority = most_frequent(data / "drg/sft/full_95.parquet", test, tmp_path / "majority")
    paired = answered(tmp_path / "c", test, tmp_path / "answers", "--against", majority)["paired"]["metrics"]
    assert paired["drg/pass@1"]["interval"][0] > 0


def most_frequent(train: Path, test: Path, out: Path) -> Path:
    """A folder that answers every case with the most frequent DRG of the training cases."""
    ((most, _),) = Counter(parquet.golds(train)).most_common(1)
    table = parquet.read(test)
    patients, golds = parquet.infos(table, "subject_id"), parquet.golds(table)
    said = TASKS["drg"].completion("-", most)
    made = made_with()
    made["sampling"] |= {"n": 1}
    folder(out, [(p, g, [said]) for p, g in zip(patients, golds, strict=True)], made_with=made, per_part=10_000)
    (path,) = out.glob("part-*.parquet")
    part = pq.read_table(path)
    for name in ("index", "hadm_id"):  # the folder numbers its cases anew
        place = part.column_names.index(name)
        part = part.set_column(place, part.schema.field(name), [parquet.infos(table, name)])
    pq.write_table(part, path)
    return out


REFUSED = [
    (("--notes", "nowhere.parquet"), ("nowhere.parquet does not exist",)),
    (("--note_tokens", "0"), ("--note-tokens must be at least 1",)),
    (("--lora_rank", "-1"), ("lora_rank -1",)),
    (("--note_tokens", "5000"), ("note_tokens 5000 is more than the ",)),
    (("--model", "nowhere"), ("nowhere does not exist",)),
    (("--learning_rat", "1"), ("--learning_rat",)),
]


@pytest.mark.parametrize(("flags", "said"), REFUSED)
def test_bad_settings_are_a_sentence(world: World, tmp_path: Path, flags: tuple, said: tuple) -> None:
    words = (*TINY, "--model", world.model, "--data", world.data, "--output_dir", tmp_path / "c")
    assert_refused(run_command("sft.classify", *words, *flags), *said)
    assert not (tmp_path / "c").exists()


def test_files_of_two_tasks_and_models_that_are_no_classifier_are_refused(
    world: World, model: Path, corpus: Path, tmp_path: Path
) -> None:
    drg, icd = world.data / "drg/test.parquet", world.data / "icd/test.parquet"
    words = (*TINY, "--model", world.model, "--output_dir", tmp_path / "c", "--data", world.data)
    assert_refused(run_command("sft.classify", *words, "--notes", drg, icd), "are of the tasks drg and icd")
    assert_refused(run_command("sft.classify", *words, "--dev", icd), "holds icd, and", "drg; give the same")
    words = ("--out", tmp_path / "out", "--data")
    done = run_command("eval.classify", *words, drg, "--model", world.model)
    assert_refused(done, "is no classifier; train one with `python -m sft.classify`")
    assert_refused(run_command("eval.classify", *words, icd, "--model", model), "is a classifier for drg", "holds icd")
    done = run_command("eval.classify", *words, drg, "--model", model, "--batch", 0)
    assert_refused(done, "--batch must be at least 1")
    assert not (tmp_path / "out").exists()
    rows = parquet.read(drg).to_pylist()
    rows[0]["reward_model"]["ground_truth"] = "A COLD"
    parquet.write(rows, tmp_path / "some.parquet")
    words = (*TINY, "--model", world.model, "--output_dir", tmp_path / "c", "--notes", tmp_path / "some.parquet")
    assert_refused(run_command("sft.classify", *words), "some.parquet has the gold 'A COLD', which is none of MS-DRG")


def test_drg_llamas_configuration_has_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import TrainingArguments

    for name in ("DATA_DIR", "RUNS_DIR", "BASE_MODEL"):
        monkeypatch.delenv(name, raising=False)
    path = ROOT / "recipes/drg_sapphire/sft/drg_llama.yaml"
    flags = ["--config", str(path), "--use_cpu", "true", "--bf16", "false"]
    source, config = settings.parse(flags, Source, TrainingArguments, main.__doc__ or "    -m sft.classify")
    assert (source.note_tokens, source.lora_rank, source.lora_alpha, source.lora_dropout) == (512, 8, 16, 0.05)
    assert source.lora_targets == ["q_proj", "k_proj", "v_proj", "o_proj"]
    assert (config.learning_rate, config.num_train_epochs, config.weight_decay) == (2e-5, 3, 0.01)
    assert config.per_device_train_batch_size == 4 and config.load_best_model_at_end
    assert config.output_dir == "runs/drg_sapphire/sft/drg_llama" and source.notes == ["data/drg/sft/full_95.parquet"]
    assert yaml.safe_load(path.read_text())["bf16"] and "1 x 80 GB" in path.read_text().splitlines()[0]
