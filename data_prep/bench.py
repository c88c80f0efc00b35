"""Time data_prep.drg on synthetic notes beside the fastest reading of the same file, and measure its memory.

    python -m data_prep.bench --notes 100000 --words 378

Prints the seconds of decompressing and parsing discharge.csv.gz with every CSV reader at hand, the seconds of
data_prep.drg in a process of its own and their ratio, its peak memory on all and on half of the notes, and so the bytes
of each further kept note, and the rate of the tokenizer step, which is not part of the ratio.
"""

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from commands import UserError, parser, run

BLOCK = 8 << 20
REPEAT = 3  # the fastest of so many
MOST_RATIO, MOST_BYTES = 3.0, 2 * 10**9
QUOTED = csv.ParseOptions(newlines_in_values=True)
BLOCKS = csv.ReadOptions(block_size=BLOCK)
TOKENIZED = 2_000  # notes for the rate of the tokenizer


def by_blocks(path: Path) -> int:
    """pyarrow's reader that gives a block at a time, as data_prep.mimic uses it."""
    with pa.CompressedInputStream(pa.OSFile(str(path)), "gzip") as raw, csv.open_csv(raw, BLOCKS, QUOTED) as reader:
        return sum(batch.num_rows for batch in reader)


def at_once(path: Path) -> int:
    """pyarrow's reader that gives the whole table."""
    return csv.read_csv(path, BLOCKS, QUOTED).num_rows


def pandas(path: Path) -> int:
    """pandas' C reader."""
    import pandas as pd

    return len(pd.read_csv(path))


READERS: dict[str, Callable[[Path], int]] = {
    "pyarrow.csv.open_csv": by_blocks, "pyarrow.csv.read_csv": at_once, "pandas.read_csv": pandas,
}  # fmt: skip


def seconds(work: Callable[[], object], repeat: int = REPEAT) -> float:
    """Wall-clock seconds of the fastest of some runs."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def prepare(folder: Path, out: Path, *options: str) -> tuple[float, int]:
    """Seconds and peak bytes of one run of data_prep.drg."""
    words = ["-m", "data_prep.drg", "--hosp", str(folder / "hosp"), "--note", str(folder / "note"), "--out", str(out)]
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        child = subprocess.Popen([sys.executable, *words, *options], stdout=log, stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
        took = time.perf_counter() - start
        if os.waitstatus_to_exitcode(status):
            log.seek(0)
            raise UserError(f"data_prep.drg failed: {log.read().decode().splitlines()[-1]}")
    return took, usage.ru_maxrss * 1024


def kept_notes(out: Path) -> int:
    """Rows of the cohort."""
    files = json.loads((out / "drg/manifest.json").read_text(encoding="utf-8"))["files"]
    return sum(files[f"{name}.parquet"]["rows"] for name in ("test", "rl/full_50", "sft/full_50"))


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
    left = by_blocks(source) // 2
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
    arguments = parser(__doc__, "python -m data_prep.bench --notes 100000 --words 378")
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
        _, half_peak = prepare(half, half_out)
        runs = [prepare(folder, out) for _ in range(REPEAT)]
        took, peak = min(run[0] for run in runs), max(run[1] for run in runs)
        # last: Linux counts the memory of this process at its largest as that of every process it starts
        reading = {name: seconds(lambda read=read: read(path)) for name, read in READERS.items()}
        for name, fastest in reading.items():
            print(f"{name:<24} {fastest:8.2f} s")
        kept = kept_notes(out)
        ratio, further = took / min(reading.values()), (peak - half_peak) / (kept - kept_notes(half_out))
        print(f"{'data_prep.drg':<24} {took:8.2f} s  {ratio:.2f} times the fastest reader, {kept:,} notes kept")
        print(f"{'peak memory':<24} {peak / 1e6:8.0f} MB, {further:,.0f} bytes for each further kept note")
        if options.tokenizer:
            small = synthesize(Path(place) / "small", TOKENIZED, options.words)
            with_tokenizer = prepare(small, out, "--tokenizer", options.tokenizer)[0]
            rate = TOKENIZED / max(1e-9, with_tokenizer - prepare(small, out)[0])
            print(f"{'tokenizer':<24} {rate:8.0f} notes a second beside that, on one process")
    if options.check and (ratio > MOST_RATIO or peak > MOST_BYTES):
        raise UserError(
            f"{ratio:.2f} times the fastest reader and {peak:,} bytes are above {MOST_RATIO} or {MOST_BYTES:,}"
        )


if __name__ == "__main__":
    run(main)
