"""eval.generate --endpoint: a server of a few lines that has every fault, and the real vLLM server."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pyarrow.parquet as pq
import pytest

from data_prep import parquet
from eval.generation import parts
from tests.conftest import ROOT, assert_refused, run_process
from tests.support.network.openai_server import OpenAIServer

CASES, N = 40, 3
NOTE = "hypothetical words of a note"
GOLD = "CHEST PAIN"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as made:
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "test.parquet"
    rows = [
        {
            "data_source": "mimic_drg",
            "prompt": [{"role": "user", "content": f"{NOTE} {i}"}],
            "ability": "coding",
            "reward_model": {"style": "rule", "ground_truth": GOLD},
            "extra_info": {"index": i, "split": "test", "hadm_id": 100 + i, "subject_id": i // 2},
        }
        for i in range(CASES)
    ]
    parquet.write(rows, path)
    return path


def words(server: OpenAIServer, data: Path, out: Path, *more: object) -> list[object]:
    return ["eval.generate", "--data", data, "--model", "tiny", "--endpoint", server.url, "--out", out, "--n", N, *more]


def rows_of(out: Path) -> dict[int, dict]:
    return {row["index"]: row for path in parts.paths(out) for row in pq.read_table(path).to_pylist()}


def test_every_case_is_asked_once_with_all_that_moves_results(server, data, command, tmp_path):
    done = command(*words(server, data, tmp_path / "g", "--price", 1, 2), HTTP_PROXY="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "g")
    assert sorted(rows) == list(range(CASES)) and len(server.asked) == CASES
    assert rows[7]["completions"][2].startswith(f"{NOTE} 7 ") and rows[7]["n_tokens"] == [1, 2, 3]
    assert len({body["seed"] for body in server.asked}) == CASES
    run = parts.read_run(tmp_path / "g")
    body = server.asked[0]
    for name, value in run["settings"]["sampling"].items():
        assert body.get(name, []) == value, name
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.6, 0.95, 4096), "the paper's, by the data"
    usage = run["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (10 * CASES, 7 * CASES)
    assert usage["cost"] == pytest.approx((10 * 1 + 7 * 2) * CASES / 1e6)  # per million tokens
    assert NOTE not in (tmp_path / "g" / "run.json").read_text() + done.stdout + done.stderr
    again = command(*words(server, data, tmp_path / "g"))
    assert again.returncode == 0 and "all there already" in again.stdout and len(server.asked) == CASES


def test_the_sampling_is_the_papers_unless_a_yaml_or_a_flag_says_otherwise(server, data, command, tmp_path):
    icd = tmp_path / "icd.parquet"
    rows = [row | {"data_source": "mimic_icd"} for row in parquet.read(data).slice(0, 2).to_pylist()]
    parquet.write(rows, icd)
    (tmp_path / "base.yaml").write_text("temperature: 0.3\ntop_p: 0.8\nmax_tokens: 77\nprefill: ''\n")
    (tmp_path / "delta.yaml").write_text("base: base.yaml\nmax_tokens: ${oc.env:MOST,88}\nseed: 5\n")
    names = ("n", "temperature", "top_p", "max_tokens")
    for given, expected in (
        (["--data", icd], (1, 0.9, 1.0, 1024)),
        (["--data", icd, "--config", "recipes/deepicd_r1/eval/longer_responses.yaml"], (1, 0.9, 1.0, 2048)),
        (["--data", data], (8, 0.6, 0.95, 4096)),
        (["--data", data, "--config", tmp_path / "delta.yaml", "--n", 2, "--top-p", 0.7], (2, 0.3, 0.7, 88)),
    ):
        out = tmp_path / f"g{expected}"
        given = ["eval.generate", "--model", "tiny", "--endpoint", server.url, "--limit", 1, "--out", out, *given]
        done = command(*given)
        assert done.returncode == 0, done.stderr
        settings = parts.read_run(out)["settings"]
        assert tuple(settings["sampling"][name] for name in names) == expected
        assert settings["prefill"] == ("<think>" if icd in given else "")


def test_a_server_that_is_not_vllm_is_told_what_openai_knows_and_nothing_else(server, data, command, tmp_path):
    server.owner = "somebody"
    assert command(*words(server, data, tmp_path / "g")).returncode == 0
    known = {"model", "messages", "n", "seed", "temperature", "top_p", "max_tokens"}
    assert set(server.asked[0]) == known | {"presence_penalty", "frequency_penalty"}
    assert "top_k" not in parts.read_run(tmp_path / "g")["settings"]["sampling"]
    assert all(sum(row["n_tokens"]) == 7 for row in rows_of(tmp_path / "g").values()), "the sum that the server counts"
    assert_refused(command(*words(server, data, tmp_path / "h", "--prefill", "<think>")), "is no vLLM server")


def test_a_prefill_is_what_the_assistant_has_begun_to_say(server, data, command, tmp_path):
    assert command(*words(server, data, tmp_path / "g", "--prefill", "<think>", "--limit", 1)).returncode == 0
    assert server.asked[0]["messages"][-1] == {"role": "assistant", "content": "<think>"}
    assert server.asked[0]["continue_final_message"] and not server.asked[0]["add_generation_prompt"]


def test_a_server_that_gives_one_choice_is_asked_again(server, data, command, tmp_path):
    server.choices = 1
    assert command(*words(server, data, tmp_path / "g", "--limit", 4)).returncode == 0
    assert all(len(set(row["completions"])) == N for row in rows_of(tmp_path / "g").values()), "each with its own seed"


def test_passing_faults_are_asked_again_and_counted(server, data, command, tmp_path):
    server.fail_first = 2
    done = command(*words(server, data, tmp_path / "g", "--limit", 6))
    assert done.returncode == 0, done.stderr
    assert parts.read_run(tmp_path / "g")["usage"]["failed"] == 2 * 6
    assert "12 of them failed" in done.stdout


@pytest.mark.parametrize("needs_more", [{"fail_first": 1}, {"choices": 1}])
def test_a_case_that_is_asked_again_does_not_wait_for_all_others(server, data, command, tmp_path, needs_more):
    vars(server).update(needs_more)
    assert command(*words(server, data, tmp_path / "g", "--limit", 5, "--concurrency", 1)).returncode == 0
    asked = [body["messages"][0]["content"] for body in server.asked]
    assert asked == sorted(asked) and len(asked) > 5, "so that what is done is kept as early as can be"


def test_faults_that_do_not_pass_end_with_a_sentence_without_the_note(server, data, command, tmp_path):
    server.status = 400
    done = command(*words(server, data, tmp_path / "g"))
    assert_refused(done, "HTTP 400 (unsupported, temperature)")
    logged = (tmp_path / "g" / "generate.log").read_text()
    assert NOTE not in done.stderr + done.stdout + logged
    server.status, server.choices = 200, -1
    assert_refused(command(*words(server, data, tmp_path / "g")), "answered case 0 with no completion")
    server.fail_first = 10**6
    assert_refused(command(*words(server, data, tmp_path / "g", "--retries", 1)), "HTTP 503")


def test_a_stopped_run_goes_on_where_it_was(server, data, command, tmp_path):
    server.seconds = 0.3
    out = tmp_path / "g"
    given = [str(word) for word in words(server, data, out, "--concurrency", 4)]
    process = subprocess.Popen([sys.executable, "-m", *given], cwd=ROOT, stderr=subprocess.DEVNULL)
    while not parts.paths(out) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.read_bytes() for path in parts.paths(out)}
    assert 1 <= len(kept) < 3
    before = len(server.asked)
    server.seconds = 0
    assert command(*given).returncode == 0
    assert {path: path.read_bytes() for path in kept} == kept
    assert sorted(rows_of(out)) == list(range(CASES)) and len(server.asked) - before == CASES - 16 * len(kept)


@pytest.mark.parametrize(
    "url", ["http://10.1.2.3:8000/v1", "https://api.example.org/v1", "http://localhost.example.org"]
)
def test_notes_leave_this_machine_only_when_that_is_said(data, command, tmp_path, url):
    given = ["eval.generate", "--data", data, "--model", "m", "--out", tmp_path / "g", "--endpoint", url]
    assert_refused(command(*given), "add --sending-notes-is-allowed")
    assert_refused(command(*given, "--sending-notes-is-allowed", OPENAI_API_KEY=""), "needs a key and $OPENAI_API_KEY")
    config = tmp_path / "eval.yaml"
    config.write_text("sending_notes_is_allowed: true\n")
    assert_refused(command(*given, "--config", config), "there is no key sending_notes_is_allowed")


def test_a_local_server_cannot_pass_notes_on(server, data, command, tmp_path):
    with OpenAIServer() as other:
        server.elsewhere = f"{other.url}/chat/completions"
        assert_refused(command(*words(server, data, tmp_path / "g", "--retries", 0)), "HTTP 307")
        assert not other.asked
        other.shutdown()


def test_the_key_comes_from_the_environment_variable_that_is_named(server, data, command, tmp_path):
    done = command(*words(server, data, tmp_path / "g", "--limit", 1, "--api-key-env", "MY_KEY"), MY_KEY="secret")
    assert done.returncode == 0 and server.keys == ["Bearer secret"]
    assert "secret" not in (tmp_path / "g" / "run.json").read_text()


def test_a_model_that_is_not_served_and_a_server_that_is_not_there_are_named(server, data, command, tmp_path):
    given = words(server, data, tmp_path / "g")
    assert_refused(
        command(*[word if word != "tiny" else "huge" for word in given]), "does not serve huge; say --model tiny"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        assert_refused(command(*given, "--endpoint", url, "--retries", 0), "cannot be reached")
    assert_refused(command(*given, "--endpoint", "localhost:8000"), "is no URL")


@pytest.fixture(scope="module")
def vllm_server(world, tmp_path_factory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("server") / "log.txt").open("w")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(world.model)),
            *("--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port)),
            *("--dtype", "float32", "--enforce-eager", "--max-num-seqs", "64"),
            # vLLM for CPUs ends when a request with a seed is prefilled in pieces
            *("--no-enable-chunked-prefill", "--max-num-batched-tokens", "4096"),
        ],
        env=os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}/v1"
    try:
        for _ in range(600):
            assert process.poll() is None, Path(log.name).read_text()[-3000:]
            try:
                build_opener(ProxyHandler({})).open(f"{url}/models").close()
                break
            except OSError:
                time.sleep(0.5)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


@pytest.mark.slow
@pytest.mark.parametrize("prefill", ["", "<think>"])
def test_a_real_vllm_server_gives_what_our_own_vllm_gives(world, vllm_server, command, tmp_path, prefill):
    given = ["--data", world.data / "drg/test.parquet", "--limit", 24, "--n", 2, "--max-tokens", 12]
    given += ["--temperature", 1, "--prefill", prefill]
    asked = command("eval.generate", *given, "--model", "tiny", "--endpoint", vllm_server, "--out", tmp_path / "server")
    assert asked.returncode == 0, asked.stderr
    own = run_process("eval.generate", *given, "--model", world.model, "--out", tmp_path / "own")
    assert own.returncode == 0, own.stderr
    theirs, ours = rows_of(tmp_path / "server"), rows_of(tmp_path / "own")
    assert sorted(theirs) == sorted(ours)
    same = [
        mine == yours
        for index in ours
        for mine, yours in zip(ours[index]["completions"], theirs[index]["completions"], strict=True)
    ]
    print(f"{sum(same)} of {len(same)} completions are the same")
    assert sum(same) >= 0.9 * len(same), "the same prompts, sampling and seeds; batches may round differently"
    assert [row["n_tokens"] for row in ours.values()] and all(
        count == 12 or reason == "stop"
        for row in theirs.values()
        for count, reason in zip(row["n_tokens"], row["finish_reason"], strict=True)
    )
    settings = [parts.read_run(tmp_path / name)["settings"]["sampling"] for name in ("server", "own")]
    assert settings[0] == settings[1]
    assert command("eval.score", "--generations", tmp_path / "server").returncode == 0
