"""Best-of-N: of the notes that a writer sampled for a dialogue, what a process reward model's choice is worth.

    python -m eval.generate --config recipes/clinical_prm/eval/default.yaml --data data/clinical_note/rl/test.parquet
        --model WRITER --out runs/notes
    python -m eval.best_of --generations runs/notes --prm PRM --orm ORM --out runs/best_of

Every sampled note is split into positions and graded. Writes OUT/notes.parquet (the notes as eval.prm takes them),
OUT/prm and OUT/orm (p(+) by position), OUT/best_of.json and a figure, best_of.png and .pdf. Started again it grades
what is missing; settings cannot be mixed.

best_of.json, by measure (facts, where the dialogues are the synthetic clinic's; words):
    curves       by rule the value of the chosen note for N = 1 … n, the mean over all choices of N of the n notes, with
                 intervals by case: sum, mean, min, end (aggregations of the PRM), reward (as note_grpo is paid, which
                 knows how long the gold note is), ORM, longest and shortest text, most labels, random, oracle
    paired       at N = n, each rule minus a random choice and minus the longest text, over the same cases
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from common.commands import UserError, existing, parser, run
from common.files import sha256, whole_file
from common.record import command_line, commit
from data_prep import parquet
from data_prep.clinical import graded
from data_prep.clinical.graded import Graded
from eval.generation import parts
from eval.generation.sources import model_folder
from eval.page.drawing import NARROW, Palette, curve
from eval.page.figure import Figure
from eval.scoring.intervals import Bootstrap
from eval.verification import store
from eval.verification.chosen import FACTS, MEASURES, ORACLE, ORM, PRM, RANDOM, WORDS, Written, compare
from eval.verification.grading import ENGINES
from reward_fns.clinical_note import tokens
from reward_fns.clinical_note.notes import Note
from reward_fns.clinical_note.written import lenient

NAME = "best_of.json"
DRAWN = ("sum", "mean", "min", ORM, RANDOM, ORACLE)  # one colour each
Cases = list[dict[str, Any]]


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__, "python -m eval.best_of --generations runs/notes --prm PRM --out runs/best_of")
    p.add_argument("--generations", type=Path, required=True, help="folder that eval.generate wrote for dialogues")
    p.add_argument("--prm", required=True, help="folder that sft.prm wrote")
    p.add_argument("--orm", help="the same with graded: end")
    p.add_argument("--out", type=Path, required=True, help="folder for grades and curves")
    p.add_argument("--data", type=Path, help="the data file of the generations, where it has been moved")
    p.add_argument("--engine", choices=tuple(ENGINES), default="transformers", help="(default %(default)s)")
    p.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto", help="(default: by the machine)")
    p.add_argument("--limit", type=int, help="only the first so many cases")
    p.add_argument("--bootstrap", type=int, default=1000, help="draws of cases for the intervals (default 1000)")
    args = p.parse_args(argv)
    if args.bootstrap < 1 or (args.limit is not None and args.limit < 1):
        raise UserError("--bootstrap and --limit must be at least 1")
    models = {PRM: args.prm} | ({ORM: args.orm} if args.orm else {})
    for name, model in models.items():
        _check_kind(name, model)
    cases = read(args.generations, args.data)[: args.limit]
    notes = [[_read(text) for text in case["completions"]] for case in cases]
    file, named = args.out / "notes.parquet", command_line("eval.best_of", argv)
    rows = _kept(file, cases, notes)
    grades = {}
    for name, model in models.items():
        found = store.fill(args.out / name.lower(), str(file), rows, args.engine, model, args.dtype, named)
        for row, shares in zip(rows, found, strict=True):
            grades.setdefault((row["case"], row["candidate"]), {})[name] = shares
    nothing = dict.fromkeys(models, (1.0, 1.0))  # of a text without a problem, which no rule prefers
    written = [
        [
            Written(text, note, grades.get((case["case"], at), nothing), case["ground_truth"], case["facts"])
            for at, (text, note) in enumerate(zip(case["completions"], some, strict=True))
        ]
        for case, some in zip(cases, notes, strict=True)
    ]
    scores = {
        "cases": len(cases),
        "n": len(notes[0]),
        "unreadable": sum(note is None for some in notes for note in some),
        "definitions": MEASURES,
        "measures": compare(written, Bootstrap(args.bootstrap)),
        "sampling": parts.read_run(args.generations)["settings"]["sampling"],
        "provenance": {"command": named, "commit": commit()},
    }
    with whole_file(args.out / NAME) as made:
        made.write_text(json.dumps(scores, indent=2) + "\n")
    figure(scores).save(args.out)
    print(table(scores))
    print(args.out / NAME)


def _check_kind(name: str, model: str) -> None:
    tokens.trained(str(model_folder(model)))
    said = json.loads((model_folder(model) / tokens.FILE).read_text(encoding="utf-8"))
    if name == PRM and said.get("graded") == "end":
        raise UserError(f"--prm {model} grades nothing but the end of a note; give it as --orm")


def read(folder: Path, data: Path | None = None) -> Cases:
    """The cases of a finished folder with their dialogues, facts and completions, in the order of their indices."""
    run = parts.read_run(folder)
    settings = run["settings"]
    if not run["finished"] or parts.being_written(folder):
        raise UserError(f"{folder} is not finished; run its `python -m eval.generate` to the end first")
    path = existing(data or Path(settings["data"]["name"]), "the data file of the generations", "name it with --data")
    if sha256(path) != settings["data"]["sha256"]:
        raise UserError(f"{path} is not the data file that {folder} was made of; name that with --data")
    infos = {info["index"]: info for info in parquet.read(path)["extra_info"].to_pylist()}
    found = []
    for _, part in parts.read(folder, settings):
        for row in part.to_pylist():
            info = infos.get(row["index"], {})
            if not info.get("dialogue"):
                raise UserError(
                    f"{path} holds no dialogues; run `python -m data_prep.clinical_notes`, which writes them"
                )
            found.append(
                row | {"facts": ()} | {name: info[name] for name in ("case", "dialogue", "facts") if name in info}
            )
    if not found or len(found[0]["completions"]) < 2:
        raise UserError(f"{folder} holds no case with two notes to choose from; generate with --n 2 or more")
    return sorted(found, key=lambda row: row["index"])


def _read(text: str) -> Note | None:
    try:
        return lenient(text)
    except ValueError:
        return None


def _kept(file: Path, cases: Cases, notes: list[list[Note | None]]) -> list[dict[str, Any]]:
    """The notes in which a problem can be made out, written as eval.prm takes them, or as an earlier start did."""
    made = []
    for case, some in zip(cases, notes, strict=True):
        readable = {at: note for at, note in enumerate(some) if note}
        ones = ((Graded(case["case"], at, case["dialogue"], note), False) for at, note in readable.items())
        for row, at in zip(graded.rows("sampled", ones), readable, strict=True):
            made.append(row | {"candidate": at})
    table = pa.Table.from_pylist(made, schema=graded.NOTES)
    if file.exists():
        if not parquet.load(file, "the file of notes", graded.REMEDY).equals(table):
            raise UserError(f"{file} holds the notes of other generations; choose another --out")
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        parquet.write(table, file, graded.NOTES)
    return graded.read(file)


def read_scores(folder: Path) -> dict[str, Any]:
    """What a finished run left in its folder."""
    try:
        scores = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except ValueError:
        scores = {}
    if not {"cases", "n", "unreadable", "measures"} <= scores.keys():
        raise UserError(f"{folder / NAME} was not written by eval.best_of; run it again")
    return scores


def figure(scores: dict[str, Any], key: str = "best_of", title: str = "Best-of-N") -> Figure:
    """The curves of the first measure that there is, with their intervals."""
    name = next(iter(scores["measures"]))
    curves = scores["measures"][name]["curves"]
    drawn = {rule: curves[rule] for rule in DRAWN if rule in curves}

    def draw(palette: Palette) -> Any:
        lines = [(i, rule, dict(enumerate(row["value"], 1))) for i, (rule, row) in enumerate(drawn.items())]
        canvas = curve(palette, "", lines)
        canvas.set_size_inches(NARROW, 3.6)
        (axis,) = canvas.axes
        for i, row in enumerate(drawn.values()):
            low, high = zip(*row["interval"], strict=True)
            axis.fill_between(range(1, len(low) + 1), low, high, color=palette.of(i), alpha=0.12, linewidth=0)
        axis.set(xlabel="notes to choose from (N)", ylabel={FACTS: "right facts", WORDS: "F1 of words"}[name])
        return canvas

    return Figure(key, title, f"{MEASURES[name].capitalize()}.", draw)


def table(scores: dict[str, Any]) -> str:
    """The values at every N as text, and what a rule gains over a random choice."""
    lines = [f"{scores['cases']} cases, {scores['n']} notes each, {scores['unreadable']} of them unreadable"]
    for name, measure in scores["measures"].items():
        lines.append(f"{MEASURES[name]}, %, for N = 1 … {scores['n']}; at the end over random, 95 % by case")
        for rule, row in measure["curves"].items():
            line = f"  {rule:<14} " + " ".join(f"{100 * value:5.1f}" for value in row["value"])
            if gain := measure["paired"].get(f"{rule} - {RANDOM}"):
                value, low, high = (100 * number for number in (gain["value"], *gain["interval"]))
                line += f"  {value:+6.1f} [{low:.1f}, {high:.1f}]"
            lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
