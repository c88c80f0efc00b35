"""Training a process reward model through its command: real trl on the tiny model of a synthetic clinic."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from omegaconf import OmegaConf
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_prep import parquet
from data_prep.clinical import graded
from reward_fns.clinical_note import tokens
from reward_fns.clinical_note.notes import RIGHT, Problem, Step, positions
from sft.prm import Source, label_tokens, main
from sft.training import graded as examples
from sft.training import settings
from sft.training.tokens import IGNORED
from tests.conftest import ROOT, assert_refused, run_command
from tests.support.clinical.clinic import Clinic

RECIPES = ROOT / "recipes/clinical_prm"


@pytest.fixture(scope="module")
def tokenizer(prm: Path) -> Any:
    return AutoTokenizer.from_pretrained(prm)


def losses(run: Path) -> list[float]:
    rows = [json.loads(line)["data"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


def test_training_leaves_a_model_that_loads_and_says_how_it_is_asked(clinic: Clinic, prm: Path) -> None:
    first, *_, last = losses(prm)
    assert last < first
    said = json.loads((prm / tokens.FILE).read_text())
    assert said == {
        "tokens": list(tokens.ADDED.tokens), "graded": "positions", "inputs": "placeholders", "loss": "notes",
    }  # fmt: skip
    tokenizer, model = AutoTokenizer.from_pretrained(prm), AutoModelForCausalLM.from_pretrained(prm)
    assert tokens.find(tokenizer) == tokens.trained(str(prm)) == tokens.ADDED
    assert model.get_input_embeddings().num_embeddings >= len(tokenizer)
    assert_refused(clinic.sft(prm), "finished run", "--fresh")


# loss, whether the kind's token, the dialogue's and the note's other tokens are learnt
LOSSES = [
    ("labels", False, False, False),
    ("labels_and_kinds", True, False, False),
    ("notes", True, False, True),
    ("all", True, True, True),
]


@pytest.mark.parametrize(("loss", "kinds", "dialogue", "text"), LOSSES)
@pytest.mark.parametrize("end_only", [False, True])
def test_the_loss_is_about_what_its_name_says(
    loss: str, kinds: bool, dialogue: bool, text: bool, end_only: bool, clinic: Clinic, tokenizer: Any
) -> None:
    rows = examples.examples(str(clinic.train), tokenizer, tokens.ADDED, loss, False, end_only)
    number = dict(zip(tokens.ADDED.tokens, tokenizer.convert_tokens_to_ids(list(tokens.ADDED.tokens)), strict=True))
    placeholder = number[tokens.ADDED.label("")]
    for row, source in zip(rows, graded.read(clinic.train), strict=True):
        ids, labels = row["input_ids"], row["labels"]
        slots = [at for at, token in enumerate(ids) if token == placeholder]
        assert [ids[slot - 1] for slot in slots] == [number[tokens.ADDED.kind(p.kind)] for p in source["positions"]]
        said = [number[tokens.ADDED.label(position.label)] for position in source["positions"]]
        wanted = [IGNORED] * (len(said) - 1) + said[-1:] if end_only else said
        assert [labels[slot] for slot in slots] == wanted
        assert all((labels[slot - 1] == ids[slot - 1]) == kinds for slot in slots)
        begin = len(tokenizer(tokens.prompt().replace(tokens.DIALOGUE, source["dialogue"]))["input_ids"])
        assert set(labels[:begin]) == {IGNORED} if not dialogue else labels[:begin] == ids[:begin]
        rest = [at for at in range(begin, len(ids)) if at not in slots and at + 1 not in slots]
        assert all((labels[at] == ids[at]) == text for at in rest) and rest


def test_the_published_way_shows_the_labels_and_ours_the_same_placeholders_as_verification(
    clinic: Clinic, tokenizer: Any
) -> None:
    row = next(row for row in graded.read(clinic.train) if not row["best"])
    hidden, shown = (
        tokens.encode(tokenizer, tokens.ADDED, row["dialogue"], row["positions"], also) for also in (False, True)
    )
    assert hidden.slots == shown.slots
    number = tokenizer.convert_tokens_to_ids
    assert {hidden.ids[slot] for slot in hidden.slots} == {number(tokens.ADDED.label(""))}
    assert [shown.ids[slot] for slot in shown.slots] == [
        number(tokens.ADDED.label(position.label)) for position in row["positions"]
    ]


def test_no_text_is_read_as_a_token_of_its_own(tokenizer: Any) -> None:
    sly = f"Rest.{tokens.ADDED.kind('end')}{tokens.ADDED.label(RIGHT)}<|im_end|>"
    encoded = tokens.encode(tokenizer, tokens.ADDED, sly, positions((Problem(1, sly, (Step(1, sly),)),)))
    special = [token for token in encoded.ids if token in tokenizer.all_special_ids or token >= len(tokenizer) - 8]
    assert len(special) == 2 * 5 and len(encoded.slots) == 5


@pytest.fixture(scope="module")
def reserve(clinic: Clinic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose tokenizer keeps tokens in reserve, as Llama 3 does."""
    out = tmp_path_factory.mktemp("reserve")
    tokenizer, model = AutoTokenizer.from_pretrained(clinic.model), AutoModelForCausalLM.from_pretrained(clinic.model)
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [tokens.RESERVES[0].format(no) for no in range(12)]}, False
    )
    model.resize_token_embeddings(len(tokenizer))
    tokenizer.save_pretrained(out)
    model.save_pretrained(out)
    return out


@pytest.mark.slow
def test_a_reserve_is_used_where_there_is_one(clinic: Clinic, reserve: Path, tmp_path: Path) -> None:
    done = clinic.sft(tmp_path / "out", "--model", reserve)
    assert done.returncode == 0, done.stderr
    assert tokens.trained(str(tmp_path / "out")) == tokens.PUBLISHED
    before, after = (AutoModelForCausalLM.from_pretrained(path) for path in (reserve, tmp_path / "out"))
    assert after.get_input_embeddings().weight.shape == before.get_input_embeddings().weight.shape
    tokenizer = AutoTokenizer.from_pretrained(reserve)
    source = Source(model=str(reserve), label_tokens="added")
    assert label_tokens(tokenizer, source) == tokens.ADDED and tokens.find(tokenizer) == tokens.ADDED


@pytest.mark.slow
def test_adapters_train_the_label_tokens_too(clinic: Clinic, tmp_path: Path) -> None:
    done = clinic.sft(tmp_path / "out", "--lora_rank", 4, "--learning_rate", 0.05)
    assert done.returncode == 0, done.stderr
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    before, after = (
        AutoModelForCausalLM.from_pretrained(path).get_input_embeddings().weight
        for path in (clinic.model, tmp_path / "out")
    )
    new = tokenizer.convert_tokens_to_ids(list(tokens.ADDED.tokens))
    assert min(new) == before.shape[0] and after.shape[0] > max(new)
    assert (after[: len(before)] == before).all()  # of the other tokens nothing moved
    first, *_, last = losses(tmp_path / "out")
    assert last < first


@pytest.mark.slow
def test_an_outcome_model_learns_the_end_alone(clinic: Clinic, tmp_path: Path) -> None:
    done = clinic.sft(tmp_path / "out", "--graded", "end", "--loss", "labels")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / tokens.FILE).read_text())["graded"] == "end"


@pytest.mark.slow
def test_a_killed_training_goes_on(clinic: Clinic, tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = ["--max_steps", "30", "--save_steps", "5", "--config", "recipes/clinical_prm/sft/tiny.yaml"]
    places = ["--model", str(clinic.model), "--notes", str(clinic.train), "--output_dir", str(out)]
    started = subprocess.Popen([sys.executable, "-m", "sft.prm", *flags, *places], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(out.glob("checkpoint-*/trainer_state.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert not (out / "run.json").exists()
    done = run_command("sft.prm", *flags, *places)
    assert done.returncode == 0 and "going on from step" in done.stderr, done.stderr
    assert json.loads((out / "run.json").read_text())["metrics"]["train_loss"] > 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--label_tokens", "reserved"), ("keeps no 8 tokens in reserve", "label_tokens: added")),
        (("--loss", "label"), ("--loss", "labels_and_kinds")),
        (("--graded", "middle"), ("--graded", "positions, end")),
        (("--max_length", "40"), ("case train/", "max_length is 40", "null")),
        (("--notes", "nowhere.parquet"), ("nowhere.parquet does not exist", "data_prep.clinical_notes")),
        (("--model", "nowhere"), ("nowhere does not exist",)),
    ],
)
def test_bad_input_is_a_sentence(flags: tuple[str, ...], said: tuple[str, ...], clinic: Clinic, tmp_path: Path) -> None:
    words = ("--config", "recipes/clinical_prm/sft/tiny.yaml", "--output_dir", tmp_path / "out")
    places = {"BASE_MODEL": str(clinic.model), "DATA_DIR": str(clinic.data)}
    assert_refused(run_command("sft.prm", *words, *flags, **places), *said)
    assert not (tmp_path / "out").exists()


def test_a_note_longer_than_the_context_is_named(clinic: Clinic, tmp_path: Path) -> None:
    rows = pq.read_table(clinic.train).slice(0, 2).to_pylist()
    rows[1]["dialogue"] = rows[0]["dialogue"] = "word " * 5000
    parquet.write(rows, tmp_path / "long.parquet", graded.NOTES)
    flags = ("--config", "recipes/clinical_prm/sft/tiny.yaml", "--notes", tmp_path / "long.parquet")
    done = run_command("sft.prm", *flags, "--model", clinic.model, "--output_dir", tmp_path / "out")
    assert_refused(done, "case train/0", "max_position_embeddings is 4096")


def test_notes_without_labels_are_not_trained_on(clinic: Clinic, tmp_path: Path) -> None:
    rows = pq.read_table(clinic.train).slice(0, 3).to_pylist()
    rows[1]["positions"][2]["label"] = ""
    parquet.write(rows, tmp_path / "some.parquet", graded.NOTES)
    flags = ("--config", "recipes/clinical_prm/sft/tiny.yaml", "--notes", tmp_path / "some.parquet")
    done = run_command("sft.prm", *flags, "--model", clinic.model, "--output_dir", tmp_path / "out")
    assert_refused(done, "case train/0", "without a label")


def test_the_configuration_of_the_paper_has_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    from trl import SFTConfig

    for name in ("DATA_DIR", "RUNS_DIR", "BASE_MODEL"):
        monkeypatch.delenv(name, raising=False)
    stated = yaml.safe_load((RECIPES / "paper.yaml").read_text())["training"]
    path = RECIPES / "sft/prm.yaml"
    written = OmegaConf.load(path)
    assert {key: written[key] for key in stated} == stated
    flags = ["--config", str(path), "--use_cpu", "true", "--bf16", "false"]
    source, config = settings.parse(flags, Source, SFTConfig, main.__doc__ or "    -m sft.prm")
    assert source.model == "meta-llama/Llama-3.1-8B-Instruct" and config.max_length is None
    assert config.output_dir == "runs/clinical_prm/sft/prm"
    assert path.read_text().startswith("# ") and "GB" in path.read_text().splitlines()[0]
