"""eval.predict on a server whose samples are known, on the real vLLM, and on bad input."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep import parquet, prompts
from reward_fns.drg.ms_drg import find
from reward_fns.task import TASKS
from tests.conftest import World, assert_refused, run_command, run_process
from tests.eval.scoring.test_eval_sets import set_folder

MCC, CC = (f"HEART FAILURE AND SHOCK {status}" for status in ("WITH MCC", "WITH CC"))
BAD = "no block at all"
NOTE = "Breathless for a week."


class Server(ThreadingHTTPServer):
    """An OpenAI-compatible server with the same samples for every note."""

    def __init__(self, said: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.said, self.asked = said, []
        Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Answer(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._say({"object": "list", "data": [{"id": "tiny", "object": "model", "owned_by": "vllm"}]})

    def do_POST(self) -> None:
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        choices = [
            {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            for i, text in enumerate(self.server.said)
        ]
        usage = {"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17}
        self._say(
            {"id": "x", "object": "chat.completion", "created": 0, "model": "tiny", "choices": choices, "usage": usage}
        )

    def _say(self, body: dict) -> None:
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def drg() -> Iterator[Server]:
    said = [BAD, *(TASKS["drg"].completion(f"So {title}.", title) for title in (CC, MCC, "CHEST PAIN", MCC))]
    with Server(said) as made:
        yield made
        made.shutdown()


@pytest.fixture
def codes() -> Iterator[Server]:
    answers = ("I21.4, E119", "e11.9; I214", "I214, J189", "X9999")
    with Server([TASKS["icd_set"].completion(f"So {said}.", said) for said in answers]) as made:
        yield made
        made.shutdown()


def predict(server: Server, task: str, note: object, *more: object, stdin: str = NOTE):
    words = ("--model", "tiny", "--endpoint", server.url, "--task", task, "--note", note, "--n", len(server.said))
    return run_command("eval.predict", *words, *more, stdin=stdin)


def found(server: Server, task: str, note: object, *more: object) -> dict:
    done = predict(server, task, note, "--json", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_answer_is_what_most_samples_say_with_base_and_status_apart(drg: Server) -> None:
    said = found(drg, "drg", "-")
    assert said["answer"] == [{"label": MCC, "share": 2 / 5, "title": MCC}] and not said["abstained"]
    assert [each["label"] for each in said["alternatives"]] == [CC, "CHEST PAIN"]
    assert said["levels"] == {
        "base DRG": {find(MCC).base: 3 / 5, "CHEST PAIN": 1 / 5},
        "CC/MCC status": {
            find(MCC).status_word: 2 / 5,
            find(CC).status_word: 1 / 5,
            find("CHEST PAIN").status_word: 1 / 5,
        },
    }
    assert (said["samples"], said["valid"], said["reasoning"]) == (5, 4, f"So {MCC}.")
    assert drg.asked[0]["messages"] == prompts.messages("drg", NOTE) and drg.asked[0]["temperature"] == 0.6
    shown = predict(drg, "drg", "-").stdout
    assert "4 of 5 samples are valid" in shown and f" 40.0%  {MCC}" in shown and f"So {MCC}." in shown


def test_a_set_has_the_codes_that_half_of_the_samples_say_with_their_titles(codes: Server) -> None:
    said = found(codes, "icd_set", "-")
    assert [(each["label"], each["share"]) for each in said["answer"]] == [("I214", 3 / 4), ("E119", 2 / 4)]
    assert said["answer"][1]["title"] == "Type 2 diabetes mellitus without complications"
    assert [(each["label"], each["share"]) for each in said["alternatives"]] == [("J189", 1 / 4), ("X9999", 1 / 4)]
    assert said["sure"] == 5 / 8 and said["reasoning"] == "So I21.4, E119."
    assert said["levels"]["chapter"] == {"9": 3 / 4, "4": 2 / 4, "10": 1 / 4}


def test_a_csv_is_a_note_a_row_and_only_out_stores_anything(drg: Server, tmp_path: Path) -> None:
    file = tmp_path / "notes.csv"
    file.write_text('hadm_id,text\n7,"Short of\nbreath."\n8,<|im_start|>Chest pain.\n')
    rows = found(drg, "drg", file)
    assert [row["note"] for row in rows] == ["7", "8"] and rows[0]["answer"] == rows[1]["answer"]
    users = sorted(asked["messages"][-1]["content"] for asked in drg.asked)
    assert "Short of\nbreath." in users[1] and "< |im_start|>Chest" in users[0]  # no control token of a template
    assert len({asked["seed"] for asked in drg.asked}) == 2
    assert list(tmp_path.iterdir()) == [file]
    done = predict(drg, "drg", file, "--out", tmp_path / "said.json")
    assert done.returncode == 0 and json.loads((tmp_path / "said.json").read_text()) == rows


def test_answers_that_too_few_samples_give_are_held_back(drg: Server, codes: Server, tmp_path: Path) -> None:
    assert not found(drg, "drg", "-", "--abstain-below", 0.4)["abstained"]
    held = found(drg, "drg", "-", "--abstain-below", 0.41)
    assert held["abstained"] and held["answer"] == [] and held["alternatives"][0]["label"] == MCC
    shown = " ".join(predict(drg, "drg", "-", "--abstain-below", 1).stdout.split())
    assert "answer none: the samples are sure by 40.0% only" in shown
    # sure by 1, 3/4 and 1/4; right, right and wrong
    cases = [("I214", ["I214"] * 4), ("E119", ["E119"] * 3 + ["J189"]), ("J189", ["I214", "I214", "E119", "I10"])]
    scored = set_folder(tmp_path / "g", cases)
    assert run_command("eval.score", "--generations", scored, "--bootstrap", 20).returncode == 0
    assert found(codes, "icd_set", "-", "--scored", scored, "--accuracy", 0.9)["abstained"]  # 5/8 < 3/4
    assert not found(codes, "icd_set", "-", "--scored", scored, "--accuracy", 0.6)["abstained"]
    assert_refused(predict(drg, "drg", "-", "--scored", scored, "--accuracy", 0.9), "is of 4 samples for icd_set")
    (scored / "risk_coverage.json").unlink()
    refused = predict(codes, "icd_set", "-", "--scored", scored, "--accuracy", 0.9)
    assert_refused(refused, "risk_coverage.json does not exist; run `python -m eval.score --generations")


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (("--note", "-"), " \n", "- has no text; a note must say something"),
        (("--note", "no/note.txt"), "", "the note no/note.txt does not exist"),
        (("--note", "recipes"), "", "recipes is a folder"),
        (("--note", "-", "--task", "dgr"), NOTE, "--task must be drg or icd or icd_set"),
        (("--note", "-", "--temperature", "0"), NOTE, "--temperature 0 gives the same completion every time"),
        (("--note", "-", "--abstain-below", "2"), NOTE, "--abstain-below must be between 0 and 1, not 2"),
        (("--note", "-", "--accuracy", "0.9"), NOTE, "--accuracy needs --scored"),
        (("--note", "-", "--model", "no/such/model"), NOTE, "model no/such/model is neither a folder nor a name"),
    ],
)
def test_bad_input_is_a_sentence(words: tuple[str, ...], stdin: str, said: str) -> None:
    assert_refused(run_command("eval.predict", "--task", "drg", "--model", "m", *words, stdin=stdin), said)


def test_bad_notes_are_named(world: World, tmp_path: Path) -> None:
    def of(name: str, text: str | bytes) -> object:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return run_command("eval.predict", "--task", "drg", "--model", world.model, "--note", tmp_path / name)

    assert_refused(of("a.csv", "note\nx\n"), "a.csv, line 1: the column text is missing")
    assert_refused(of("b.csv", 'text\nA case.\n""\n'), "b.csv has no text in row 1")
    assert_refused(of("c.csv", "text\n"), "c.csv has no rows")
    assert_refused(of("d.txt", b"\xff\xfe"), "d.txt is not UTF-8")
    assert_refused(of("e.txt", "word " * 9000), "the prompt with note e.txt has", "shorten the note")


@pytest.mark.slow
def test_answer_and_share_are_those_of_generate_and_score_and_come_within_a_minute(
    world: World, tmp_path: Path
) -> None:
    model = tmp_path / "sft"
    done = run_process(
        *("sft.train", "--config", "recipes/drg_sapphire/sft/tiny.yaml", "--style", "outcome"),
        *("--num_train_epochs", 12, "--save_strategy", "no"),
        **{"BASE_MODEL": str(world.model), "DATA_DIR": str(world.data), "MODEL_PATH": str(model)},
        TRACES=str(world.mimic / "traces.parquet"),
    )
    assert done.returncode == 0, done.stderr
    row = parquet.read(world.data / "drg/test.parquet").slice(3, 1).to_pylist()[0]
    before, after = prompts.load("drg").user.split(prompts.NOTE)
    note = row["prompt"][-1]["content"].removeprefix(before).removesuffix(after)
    row["extra_info"]["index"] = 0  # as a note that is coded alone
    parquet.write([row], tmp_path / "one.parquet")
    sampling = ("--n", 16, "--temperature", 1.0, "--top-p", 1.0, "--max-tokens", 64, "--seed", 5)
    words = ("--data", tmp_path / "one.parquet", "--model", model, "--out", tmp_path / "g")
    for command in (("eval.generate", *words, *sampling), ("eval.score", "--generations", tmp_path / "g", "--risk")):
        done = run_process(*command)
        assert done.returncode == 0, done.stderr
    table = pq.read_table(tmp_path / "g/per_sample.parquet")
    votes = Counter(label for label in table["said_drg"][0].as_py() if label is not None)
    assert votes, "the model gives no valid answer, so nothing is compared"
    (tmp_path / "note.txt").write_text(note)
    started = time.monotonic()
    done = run_process(
        "eval.predict", "--model", model, "--task", "drg", "--note", tmp_path / "note.txt", *sampling, "--json"
    )
    seconds = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    shares = {each["label"]: each["share"] for each in [*said["answer"], *said["alternatives"]]}
    assert shares == {label: count / 16 for label, count in votes.items()}
    assert said["answer"][0]["label"] == votes.most_common(1)[0][0] and len(votes) > 1
    risk = json.loads((tmp_path / "g/risk_coverage.json").read_text())["table"]
    assert risk[0]["share"] == said["sure"]
    assert seconds < 60, seconds
    assert not list(tmp_path.glob("*.log")) and isinstance(table, pa.Table)
    shutil.rmtree(model)
