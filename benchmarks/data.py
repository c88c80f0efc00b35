"""Time data preparation on synthetic notes beside the fastest reading of the same file, and measure its memory.

    python -m benchmarks.data --notes 100000 --words 378

Prints the seconds of decompressing and parsing discharge.csv.gz with every CSV reader at hand and those of
data_prep.drg and data_prep.icd, each in a process of its own, and their ratios; their peak memory on all and on half of
the notes, and so the bytes of each further kept note; and the rate of the tokenizer step, which is not in the ratio.
"""

import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pyarrow as pa
from pyarrow import csv

from common.commands import UserError, parser, run
from data_prep.cohort import mimic

BLOCK = 8 << 20
REPEAT = 3  # the fastest of so many
EVERY = 0.02  # seconds between two looks at the memory
MOST_RATIO, MOST_BYTES = 3.0, 2 * 10**9
QUOTED = csv.ParseOptions(newlines_in_values=True)
BLOCKS = csv.ReadOptions(block_size=BLOCK)
TASKS = {"drg": ("test", "rl/full_50", "sft/full_50"), "icd": ("train", "test", "val")}  # files that hold all rows
TOKENIZED = 2_000  # notes for the rate of the tokenizer


# Programs, so that a reader and data_prep.drg both start in a process of their own.
READERS = {
    "pyarrow.csv.open_csv": """
import sys, pyarrow as pa
from pyarrow import csv
quoted, blocks = csv.ParseOptions(newlines_in_values=True), csv.ReadOptions(block_size=8 << 20)
with pa.CompressedInputStream(pa.OSFile(sys.argv[1]), "gzip") as raw, csv.open_csv(raw, blocks, quoted) as reader:
    for batch in reader:
        pass
""",
    "pyarrow.csv.read_csv": """
import sys
from pyarrow import csv
csv.read_csv(sys.argv[1], parse_options=csv.ParseOptions(newlines_in_values=True))
""",
    "pandas.read_csv": """
import sys, pandas
pandas.read_csv(sys.argv[1])
""",
}


def seconds(words: list[str]) -> float:
    """Wall-clock seconds of one Python process."""
    start = time.perf_counter()
    with started(words) as child:
        child.wait()
    return time.perf_counter() - start


def peak(words: list[str]) -> int:
    """Most bytes that a Python process and its helpers held at once, by a look at them every now and then."""
    most = 0
    with started(words) as child:
        while child.poll() is None:
            with suppress(psutil.NoSuchProcess):
                family = [main := psutil.Process(child.pid), *main.children(recursive=True)]
                most = max(most, sum(process.memory_info().rss for process in family))
            time.sleep(EVERY)
    return most


@contextmanager
def started(words: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process; one that fails is a UserError with its last words."""
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen([sys.executable, *words], stdout=log, stderr=log)
        yield child
        if child.wait():
            log.seek(0)
            raise UserError(f"python {' '.join(words)} failed: {log.read().decode().splitlines()[-1]}")


def preparation(task: str, folder: Path, out: Path, *options: str) -> list[str]:
    """The words of data_prep.drg or data_prep.icd on a MIMIC."""
    places = ("--hosp", folder / "hosp", "--note", folder / "note", "--out", out)
    return ["-m", f"data_prep.{task}", *map(str, places), *options]


def kept_notes(task: str, out: Path) -> int:
    """Rows of the cohort."""
    files = json.loads((out / task / "manifest.json").read_text(encoding="utf-8"))["files"]
    return sum(files[f"{name}.parquet"]["rows"] for name in TASKS[task])


def synthesize(folder: Path, notes: int, words: int) -> Path:
    """A synthetic MIMIC, unless it is there."""
    if not (folder / "note").exists():
        call = ["-m", "data_prep.synthesize", "--out", str(folder), "--notes", str(notes), "--words", str(words)]
        subprocess.run([sys.executable, *call], check=True)
    return folder


def half_of(folder: Path, place: Path) -> Path:
    """The same hosp tables with the first half of the notes."""
    (place / "note").mkdir(parents=True)
    (place / "hosp").symlink_to((folder / "hosp").resolve())
    source = folder / "note/discharge.csv.gz"
    left = sum(batch.num_rows for batch in mimic.notes(folder / "note", ("hadm_id",))) // 2
    with (
        pa.CompressedInputStream(pa.OSFile(str(source)), "gzip") as raw,
        csv.open_csv(raw, BLOCKS, QUOTED) as reader,
        gzip.open(place / "note/discharge.csv.gz", "wb", 1) as file,
        csv.CSVWriter(file, reader.schema) as writer,
    ):
        for batch in reader:
            writer.write_batch(batch.slice(0, left))
            left -= min(left, batch.num_rows)
    return place


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__, "python -m benchmarks.data --notes 100000 --words 378")
    arguments.add_argument("--mimic", type=Path, help="a MIMIC-IV with hosp/ and note/; else one is synthesized")
    arguments.add_argument("--notes", type=int, default=100_000, help="synthetic notes (default 100000)")
    arguments.add_argument("--words", type=int, default=378, help="mean words of a course (default 378)")
    arguments.add_argument("--tokenizer", help="a model, for the rate of the tokenizer step")
    arguments.add_argument("--check", action="store_true", help=f"fail above {MOST_RATIO} times or {MOST_BYTES} bytes")
    options = arguments.parse_args(argv)
    with tempfile.TemporaryDirectory() as place:
        folder = options.mimic or synthesize(Path(place) / "mimic", options.notes, options.words)
        path, out = folder / "note/discharge.csv.gz", Path(place) / "data"
        if not path.exists():
            raise UserError(f"{path} does not exist; --mimic names a folder with hosp/ and note/")
        half, half_out = half_of(folder, Path(place) / "half"), Path(place) / "half_data"
        reading = {name: min(seconds(["-c", READERS[name], str(path)]) for _ in range(REPEAT)) for name in READERS}
        for name, fastest in reading.items():
            print(f"{name:<24} {fastest:8.2f} s")
        worst, most = 0.0, 0
        for task in TASKS:
            words = preparation(task, folder, out)
            took, whole = min(seconds(words) for _ in range(REPEAT)), peak(words)
            part = peak(preparation(task, half, half_out))
            kept = kept_notes(task, out)
            ratio, further = took / min(reading.values()), (whole - part) / (kept - kept_notes(task, half_out))
            print(f"data_prep.{task:<14} {took:8.2f} s  {ratio:.2f} times the fastest reader, {kept:,} notes kept")
            print(f"{'peak memory':<24} {whole / 1e6:8.0f} MB, {further:,.0f} bytes for each further kept note")
            worst, most = max(worst, ratio), max(most, whole)
            if options.tokenizer:
                small = synthesize(Path(place) / "small", TOKENIZED, options.words)
                with_it, without = (
                    preparation(task, small, out, "--tokenizer", options.tokenizer),
                    preparation(task, small, out),
                )
                rate = TOKENIZED / max(1e-9, seconds(with_it) - seconds(without))
                print(f"{'tokenizer':<24} {rate:8.0f} notes a second beside that, on one process")
    if options.check and (worst > MOST_RATIO or most > MOST_BYTES):
        raise UserError(
            f"{worst:.2f} times the fastest reader and {most:,} bytes are above {MOST_RATIO} or {MOST_BYTES:,}"
        )


if __name__ == "__main__":
    run(main)
