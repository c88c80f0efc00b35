"""Reasoning traces: what is asked, what is accepted, and the command against a server and against the real vLLM."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pyarrow.parquet as pq
import pytest

from common.commands import UserError
from data_prep import parquet
from reward_fns.task import TASKS
from sft.traces import main
from sft.tracing import quality, requests
from sft.tracing.settings import Settings
from tests.conftest import ROOT, World, assert_refused, run_command, run_process

GOLD = "HEART FAILURE AND SHOCK WITH MCC"
CASE = "The patient came with dyspnea and edema. He was diuresed for five days and his kidneys failed on day two."
GOOD = "Dyspnea and edema that yielded to diuresis point to a failing heart; the renal failure that followed is an MCC."
OTHERS = "[HEART FAILURE AND SHOCK WITH CC] and [CHEST PAIN]"
LIMITS = {"least_words": 5, "most_words": 60}


@pytest.mark.parametrize(
    ("style", "reasoning", "answer", "reason"),
    [
        ("cot_first", GOOD, GOLD, ""),
        ("cot_first", GOOD, "Heart failure & shock w MCC", ""),
        ("cot_first", GOOD, "HEART FAILURE AND SHOCK WITH CC", "answer"),
        ("cot_first", GOOD, "", "answer"),
        ("cot_first", "", GOLD, "format"),
        ("cot_first", f"{GOOD} <answer>{GOLD}</answer>", GOLD, "format"),
        ("cot_first", "It is the heart.", GOLD, "short"),
        ("cot_first", f"{GOOD} {GOOD} {GOOD} {GOOD}", GOLD, "long"),
        ("cot_first", f"The given DRG fits. {GOOD}", GOLD, "given"),
        ("cot_first", f"{GOOD} This supports the correct code.", GOLD, "given"),
        ("cot_first", f"{GOOD} The DRG was provided.", GOLD, "given"),
        ("cot_first", f"Reasoning as if the code were not known yet: {GOOD}", GOLD, "given"),
        ("cot_first", f"{GOOD} Oxygen was given, and the diagnosis is known to be grave.", GOLD, ""),
        ("cot_first", f"{CASE} That is why.", GOLD, "copy"),
        ("cot_first", f"{GOLD} is it. {GOOD}", GOLD, "early"),
        ("answer_first", f"{GOLD} is it. {GOOD}", GOLD, ""),
        ("answer_first", GOOD, GOLD, "late"),
        ("differential", f"[{GOLD}], {OTHERS}. {GOOD} [{GOLD}] has that for it.", GOLD, ""),
        ("differential", f"[{GOLD}] and [CHEST PAIN]. {GOOD}", GOLD, "candidates"),
        ("differential", f"[{GOLD}], [CHEST PAIN] and [A BROKEN HEART]. {GOOD}", GOLD, "candidates"),
        ("differential", f"{OTHERS} and [SEIZURES WITH MCC]. {GOOD}", GOLD, "candidates"),
        ("differential", f"[{GOLD}], {OTHERS}, [SEIZURES WITH MCC]. {GOOD}", GOLD, "candidates"),
    ],
)
def test_the_first_fault_of_a_drg_trace_is_named(style: str, reasoning: str, answer: str, reason: str) -> None:
    written = TASKS["drg"].completion(reasoning, answer)
    wanted = Settings(task="drg", style=style, **LIMITS)
    assert quality.fault(wanted, written, "stop", GOLD, CASE) == reason
    assert quality.fault(wanted, written, "length", GOLD, CASE) == "cut"


@pytest.mark.parametrize(
    ("reasoning", "answer", "reason"),
    [
        (f"{GOOD} Hence I50.9.", "I50.9", ""),
        (GOOD, "I509", ""),
        (GOOD, "I50", "answer"),
        (GOOD, "heart failure", "answer"),
        (f"With I50.9 in mind: {GOOD}", "I50.9", "early"),
        (f"Something of I50 it must be. {GOOD}", "I50.9", "early"),
        (f"Not J18.9, as the lungs are clear. {GOOD}", "I50.9", ""),
        (f"The given code fits. {GOOD}", "I50.9", "given"),
    ],
)
def test_the_first_fault_of_an_oracle_trace_is_named(reasoning: str, answer: str, reason: str) -> None:
    written = TASKS["icd"].completion(reasoning, answer)
    assert quality.fault(Settings(task="icd", style="oracle", **LIMITS), written, "stop", "I509", CASE) == reason


def test_accepted_synthetic_traces_pass_and_the_others_fail_by_their_answer(world: World) -> None:
    found = Counter(
        (row["task"], row["style"], row["accepted"], quality.fault(
            Settings(task=row["task"], style=row["style"]),
            TASKS[row["task"]].completion(row["reasoning"], row["answer"]), "stop", row["ground_truth"], "",
        ))
        for row in parquet.read_traces(world.mimic / "traces.parquet").to_pylist()
    )  # fmt: skip
    assert {reason for *_, accepted, reason in found if accepted} == {""}, found
    assert {reason for *_, accepted, reason in found if not accepted} == {"answer"}, found


def test_a_request_holds_case_gold_and_style_and_no_open_slot() -> None:
    prompt = [{"role": "system", "content": "You code."}, {"role": "user", "content": "A note with {gold} in it."}]
    for task, gold, facts in (("drg", GOLD, ""), ("icd", "I509", requests.facts(TASKS["icd"], None, None)("I509"))):
        asked = [requests.chat(TASKS[task], style, prompt, gold, facts)[0]["content"] for style in TASKS[task].styles]
        for text in asked:
            assert gold in text and "A note with {gold} in it." in text
            assert not re.search(r"\{(?!gold\} in it)", text)
        assert len(set(asked)) == len(asked)


def test_an_oracle_is_told_what_the_code_set_says_and_what_the_user_has(tmp_path: Path) -> None:
    (tmp_path / "symptoms.csv").write_text("code,description\nI50,Swollen legs\n")
    (tmp_path / "guidelines.json").write_text(json.dumps({"chapters": {"9": {"text": "Code the heart first."}}}))
    facts = requests.facts(TASKS["icd"], str(tmp_path / "symptoms.csv"), str(tmp_path / "guidelines.json"))("I509")
    for said in ("Heart failure, unspecified", "Excludes2", "Code first", "Swollen legs", "Code the heart first."):
        assert said in facts
    with pytest.raises(UserError, match=r"nobody.csv does not exist"):
        requests.facts(TASKS["icd"], "nobody.csv", None)


class Writer(ThreadingHTTPServer):
    """An OpenAI-compatible server that writes a trace for a request; `refuse` names golds that it fails on."""

    daemon_threads, request_queue_size = True, 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.refuse, self.reasoning = (
            "nothing",
            "The findings of this course leave room for one group alone, so it is that.",
        )
        self.golds: list[str] = []
        self.seconds = 0.0
        Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no news; the traceback would stand among what the command says."""


class _Answer(BaseHTTPRequestHandler):
    server: Writer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._say(200, {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "someone"}]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][0]["content"]
        gold = re.search("^DRG: (.*)$", request, re.MULTILINE)[1]
        self.server.golds.append(gold)
        time.sleep(self.server.seconds)
        if self.server.refuse in gold:
            return self._say(400, {"error": {"message": "no"}})
        message = {"role": "assistant", "content": TASKS["drg"].completion(self.server.reasoning, gold)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._say(200, {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})

    def _say(self, status: int, body: dict) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def writer() -> Iterator[Writer]:
    with Writer() as server:
        yield server
        server.shutdown()


def words(world: World, out: Path, *flags: object) -> list[str]:
    data = world.data / "drg/test.parquet"
    config = ("--config", "recipes/drg_sapphire/traces/cold.yaml", "--data", data, "--out", out)
    return [str(word) for word in (*config, *flags)]


def asking(writer: Writer) -> tuple[object, ...]:
    return ("--endpoint", f"http://127.0.0.1:{writer.server_port}/v1", "--model", "m", "--retries", 0)


def test_cases_that_the_server_fails_on_are_kept_for_the_next_run(
    world: World, writer: Writer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    golds = parquet.golds(world.data / "drg/test.parquet")
    writer.refuse = golds[0]
    lost = sum(golds[0] in gold for gold in golds)
    with pytest.raises(UserError, match=f"{lost} of {len(golds)} requests .* HTTP 400.*the same command asks again"):
        main(words(world, tmp_path, *asking(writer)))
    assert len(parquet.read_traces(tmp_path / "traces.parquet")) == len(golds) - lost
    writer.refuse, writer.golds = "nothing", []
    main(words(world, tmp_path, *asking(writer)))
    assert len(writer.golds) == lost
    traces = parquet.read_traces(tmp_path / "traces.parquet").to_pylist()
    assert [trace["ground_truth"] for trace in traces] == golds
    assert all(trace["accepted"] and trace["answer"] == trace["ground_truth"] for trace in traces)
    assert f"cases with a trace: {len(golds)} of {len(golds)}" in capsys.readouterr().out


def test_stopped_by_ctrl_c_it_asks_a_server_for_nothing_more(world: World, writer: Writer, tmp_path: Path) -> None:
    writer.seconds = 0.5
    process = subprocess.Popen(
        [sys.executable, "-m", "sft.traces", *words(world, tmp_path, *asking(writer), "--concurrency", 4)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job would ignore it
    )
    while not list(tmp_path.glob("draws/00/part-*.parquet")) and process.poll() is None:
        time.sleep(0.05)
    asked = len(writer.golds)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert len(writer.golds) <= asked + 4 < len(parquet.golds(world.data / "drg/test.parquet"))


def test_rejected_traces_are_drawn_again_and_counted_by_reason(world: World, writer: Writer, tmp_path: Path) -> None:
    golds = parquet.golds(world.data / "drg/test.parquet")
    writer.reasoning = "Too short."
    done = run_command("sft.traces", *words(world, tmp_path, *asking(writer), "--draws", 2))
    assert_refused(done, f"none of the {len(golds)} cases", "the table above says why")
    assert re.search(rf"short +{2 * len(golds)} +100.0%  has too few words", done.stdout)
    assert len(writer.golds) == 2 * len(golds)
    writer.reasoning = "The findings of this course leave room for one group alone, so it is that."
    main(words(world, tmp_path, *asking(writer), "--draws", 3))
    assert len(writer.golds) == 3 * len(golds)  # what was drawn before is judged, not asked again
    quality = json.loads((tmp_path / "quality.json").read_text())
    assert quality["rejected"] == {"short": 2 * len(golds)} and quality["cases_accepted"] == len(golds)
    assert (tmp_path / "quality.svg").read_text().startswith("<?xml")
    rows = pq.read_table(tmp_path / "quality.parquet").to_pylist()
    assert Counter(row["draw"] for row in rows) == {0: len(golds), 1: len(golds), 2: len(golds)}


def test_settings_cannot_be_mixed_and_bad_ones_are_named(world: World, writer: Writer, tmp_path: Path) -> None:
    main(words(world, tmp_path / "a", *asking(writer)))
    (tmp_path / "typo.yaml").write_text("task: drg\ntemperatur: 1\n")
    for flags, said in (
        (words(world, tmp_path / "a", *asking(writer), "--temperature", 0.1), "made with temperature 0.7 and this is"),
        (words(world, tmp_path / "a", *asking(writer), "--style", "haiku"), "no trace style 'haiku' for drg"),
        (words(world, tmp_path / "b", *asking(writer), "--task", "icd", "--style", "oracle"), "the task is icd"),
        (words(world, tmp_path / "b", *asking(writer), "--draws", "many"), "many"),
        (words(world, tmp_path / "b", "--model", tmp_path / "none"), "neither a folder nor a name"),
        (["--config", str(tmp_path / "typo.yaml")], "no key temperatur, did you mean temperature?"),
        (["--config", str(tmp_path / "gone.yaml")], "gone.yaml does not exist"),
    ):
        with pytest.raises(UserError, match=re.escape(said)):
            main(flags)


@pytest.fixture(scope="module")
def taught(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, taught to answer the requests of sft.traces."""
    out = tmp_path_factory.mktemp("taught") / "model"
    done = run_process(
        *("sft.train", "--config", "recipes/drg_sapphire/sft/tiny.yaml", "--requests", "true", "--max_length", 1024),
        *("--cases", world.data / "drg/sft/full_95.parquet", "--num_train_epochs", 20, "--output_dir", out),
        BASE_MODEL=str(world.model), DATA_DIR=str(world.data), TRACES=str(world.mimic / "traces.parquet"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_killed_at_any_point_no_trace_is_lost_or_doubled(world: World, taught: Path, tmp_path: Path) -> None:
    data = world.data / "drg/sft/full_95.parquet"
    flags = words(world, tmp_path, "--data", data, "--model", taught, "--max_tokens", 128)
    folder = tmp_path / "draws/00"
    for wanted in (1, 4):
        process = subprocess.Popen(
            [sys.executable, "-m", "sft.traces", *flags], cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL
        )
        while len(list(folder.glob("part-*.parquet"))) < wanted and process.poll() is None:
            time.sleep(0.05)
        assert process.poll() is None, "it was to be killed while it wrote"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = run_process("sft.traces", *flags)
    assert done.returncode == 0, done.stderr
    indexes = [i for part in sorted(folder.glob("part-*.parquet")) for i in pq.read_table(part)["index"].to_pylist()]
    assert sorted(indexes) == sorted(parquet.infos(parquet.read(data), "index"))
    traces = parquet.read_traces(tmp_path / "traces.parquet").to_pylist()
    assert len(traces) == len({trace["hadm_id"] for trace in traces})
    assert sum(trace["accepted"] for trace in traces) > 0
