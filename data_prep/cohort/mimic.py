"""Readers of MIMIC-IV's gzip CSV files: columns checked, codes as strings, the release recognised by its row counts.

rows = mimic.table(hosp, "drgcodes", ("hadm_id", "drg_type", "description"))
for batch in mimic.notes(note, ("hadm_id", "text")): ...
"""

import csv as text_csv
import gzip
import re
import zlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv
from tqdm import tqdm

from common.commands import UserError, existing

with open(Path(__file__).with_suffix(".csv"), encoding="utf-8", newline="") as _file:
    # the columns of each file and its rows in each release, those of the notes as counted and as PhysioNet's page says
    _FILES = {row.pop("file"): row for row in text_csv.DictReader(_file)}
COLUMNS = {name: tuple(row.pop("columns").split()) for name, row in _FILES.items()}
UNKNOWN = "unknown or synthetic"

DISCHARGE = "discharge.csv.gz"
NOBODY = -1  # an admission or patient that a note does not name
NOTE_TYPES = ("DS", "AD")  # discharge summaries and addenda to them

BLOCK, PIECE = 8 << 20, 1 << 16
LONGEST = 1 << 18  # bytes of a note, several times over
TEXT = "text"
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of such bytes
INTEGERS = {"subject_id", "hadm_id", "seq_num", "icd_version"}


def release(file: str, rows: int) -> str:
    """The release in which a file has so many rows."""
    return next((name for name, counts in _FILES[file].items() if str(rows) in counts.split()), UNKNOWN)


def table(hosp: Path, name: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of a hosp file as one table."""
    return pa.Table.from_batches(batches(hosp / f"{name}.csv.gz", columns), schema=types(columns))


def notes(note: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of the discharge summaries, a batch at a time, so that memory does not grow with the file."""
    path = note / DISCHARGE
    return _summaries(path, columns, batches(path, (*columns, "note_type")))


@contextmanager
def notes_ahead(note: Path, columns: Sequence[str]) -> Iterator[Iterator[pa.RecordBatch]]:
    """The same; a thread begins to read them at once, and goes on while they are worked on."""
    path, columns_read = note / DISCHARGE, (*columns, "note_type")
    check_columns(path, columns_read)
    with _ahead(_blocks(path, columns_read)) as blocks, closing(_shown(path, blocks)) as shown:
        yield _summaries(path, columns, shown)


def _summaries(path: Path, columns: Sequence[str], found: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    before = 0
    for batch in found:
        known = pc.fill_null(pc.is_in(batch.column("note_type"), pa.array(NOTE_TYPES)), False)
        if (place := pc.index(known, False).as_py()) >= 0:
            raise UserError(
                f"{path}, row {before + place + 1}: the note_type is not {' or '.join(NOTE_TYPES)}, so this is no file "
                "of discharge summaries; give the folder that holds discharge.csv.gz of MIMIC-IV-Note 2.2"
            )
        before += batch.num_rows
        yield batch.select(list(columns))


def strings(column: pa.Array) -> Iterator[str]:
    """The texts of a string column, "" for null, one at a time: all at once they would not fit the caches."""
    _, offsets, data = pc.fill_null(column, "").buffers()
    ends = np.frombuffer(offsets, np.int32)[column.offset :][: len(column) + 1].tolist() if offsets else [0]
    letters = memoryview(data or b"")
    for start, end in pairwise(ends):
        yield str(letters[start:end], "utf-8")


def types(columns: Sequence[str]) -> pa.Schema:
    """Whole numbers for ids and positions, strings for everything else (codes keep their leading zeros)."""
    return pa.schema([(column, pa.int64() if column in INTEGERS else pa.string()) for column in columns])


def batches(path: Path, columns: Sequence[str]) -> Generator[pa.RecordBatch, None, None]:
    """Read a gzip CSV in blocks, with a progress bar over its compressed bytes."""
    check_columns(path, columns)
    return _shown(path, _blocks(path, columns))


Block = tuple[pa.RecordBatch, int]  # some rows, and how many bytes of the file are read by then


def _blocks(path: Path, columns: Sequence[str]) -> Generator[Block, None, None]:
    convert = csv.ConvertOptions(
        include_columns=list(columns), column_types=types(columns), strings_can_be_null=False, null_values=[""]
    )
    parse = csv.ParseOptions(newlines_in_values=True)
    raw = pa.OSFile(str(path))
    # a quote that is not closed takes all that follows for its value, and nothing else tells: an odd number of quotes
    # may be one, and among notes, which it would take long to count in, a text too long for a note
    suspect = path.name != DISCHARGE and _quotes(path) % 2
    try:
        with (
            _unpacked(path, raw) as stream,
            csv.open_csv(stream, csv.ReadOptions(block_size=BLOCK), parse, convert) as reader,
        ):
            for batch in reader:
                if not suspect and TEXT in columns and batch.num_rows:
                    suspect = pc.max(pc.binary_length(batch.column(TEXT))).as_py() > LONGEST
                yield batch, raw.tell()
        if suspect and (why := fault(path, columns)):
            raise UserError(why)
    except (pa.ArrowInvalid, OSError) as error:
        # the reader's own message can hold the text of a note, and knows no row
        raise UserError(fault(path, columns) or f"{path} cannot be read; {_again(path)}") from error


def _unpacked(path: Path, raw: pa.NativeFile) -> pa.NativeFile:
    return pa.CompressedInputStream(raw, "gzip") if path.suffix == ".gz" else raw


def _quotes(path: Path) -> int:
    found = 0
    with suppress(OSError), pa.OSFile(str(path)) as raw, _unpacked(path, raw) as stream:
        while len(piece := np.frombuffer(stream.read_buffer(PIECE), np.uint8)):
            found += int(np.count_nonzero(piece == ord('"')))
    return found


def _shown(path: Path, blocks: Iterable[Block]) -> Generator[pa.RecordBatch, None, None]:
    """The rows, with the bar: in the thread that works on them, as a bar that cannot write keeps others locked out."""
    with tqdm(total=path.stat().st_size, unit="B", unit_scale=True, desc=path.name) as bar:
        for batch, place in blocks:
            yield batch
            bar.update(min(place, bar.total) - bar.n)


@contextmanager
def _ahead(items: Generator[Block, None, None], most: int = 32) -> Iterator[Iterator[Block]]:
    """The same items; a thread keeps that many before the one that is worked on."""
    with ThreadPoolExecutor(1) as reader:
        coming = deque(reader.submit(next, items, None) for _ in range(most))

        def each() -> Iterator[Block]:
            while (item := coming.popleft().result()) is not None:
                coming.append(reader.submit(next, items, None))
                yield item

        try:
            yield each()
        finally:
            reader.shutdown(cancel_futures=True)
            items.close()


def _text(path: Path, **how: str) -> TextIO:
    return (gzip.open if path.suffix == ".gz" else open)(path, "rt", newline="", **how)  # type: ignore[operator]


def _again(path: Path) -> str:
    known = path.name.removesuffix(".csv.gz") in _FILES
    return "download it again and compare its SHA-256" if known else "mend the file"


def header(path: Path) -> list[str]:
    """The names in the first line."""
    try:
        with _text(path, encoding="utf-8-sig", errors="replace") as file:
            return next(text_csv.reader(file), [])
    except (OSError, EOFError, zlib.error) as error:
        what = "gzip CSV" if path.suffix == ".gz" else "CSV"
        raise UserError(f"{path} is no {what}, or is damaged or cut short in its first line; {_again(path)}") from error


def check_columns(path: Path, columns: Sequence[str]) -> None:
    """The file is there, and its first line names every column that is needed."""
    existing(path, "the MIMIC-IV file", "give the folder that holds the release's .csv.gz files")
    found = header(path)
    if twice := next((column for column in columns if found.count(column) > 1), None):
        raise UserError(f"{path}, line 1: the column {twice} is there twice; remove or rename one")
    if missing := next((column for column in columns if column not in found), None):
        capitals = missing.upper() in found
        raise UserError(
            f"{path}, line 1: the column {missing} is missing among {', '.join(found)[:300] or 'none'}; "
            f"{'its names in capitals are those of MIMIC-III' if capitals else 'it is of another release'}, where "
            "MIMIC-IV 2.0 and MIMIC-IV-Note 2.2 are needed"
        )


def fault(path: Path, columns: Sequence[str]) -> str:
    """The first row that cannot be read and what to do, without a word of it; "" if a slow reading finds nothing."""
    row, line, again = 0, 1, _again(path)
    text_csv.field_size_limit(1 << 30)
    try:
        with _text(path, encoding="utf-8", errors="surrogateescape") as file:
            rows = text_csv.reader(file, strict=True)
            header = next(rows)
            line = rows.line_num + 1
            for row, values in enumerate(rows, 1):
                if len(values) != len(header):
                    return f"{path}, row {row}: {len(values)} values for {len(header)} columns; {again}"
                for name, value in zip(header, values, strict=True):
                    if name in columns and NOT_UTF8.search(value):
                        return f"{path}, row {row}: the {name} has bytes that are not UTF-8; {again}"
                    if name in columns and name in INTEGERS and value and not re.fullmatch(r"[+-]?\d{1,18}", value):
                        return f"{path}, row {row}: the {name} is no whole number; {again}"
                line = rows.line_num + 1
    except (OSError, EOFError, zlib.error):
        return f"{path} is damaged or cut short after row {row}; {again}"
    except text_csv.Error:  # all that the strict reader refuses
        return f"{path}, line {line}: row {row + 1}, which begins there, opens a quote and does not close it; {again}"
    return ""
