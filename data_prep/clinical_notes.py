"""Clinical notes for a process reward model: the authors' published ones or your own, and wrong ones made of them.

    python -m data_prep.clinical_notes --dialogues data/synthetic/dialogues --out data --inject rules
    python -m data_prep.clinical_notes --published prm-clinic --out data --inject rules
    python -m data_prep.clinical_notes --published prm-clinic --out data --inject http://localhost:8000/v1 --model NAME

Writes OUT/clinical_note/train.parquet (gold notes and wrong ones with their labels), a parquet for every set that is to
be verified (the candidates of each case, one of them the best), rl/NAME.parquet and sft/train.parquet (dialogues with
the gold note as ground truth, for a model that writes notes) and manifest.json. --published reads the authors' gold
notes, their wrong ones where they are there, and their test sets; --dialogues DIR reads train.csv and any other CSV
with the columns dialogue and note. --inject makes wrong notes of the gold ones of the training set, and of --dialogues
those of the other sets, too: `rules` needs no model; a URL asks an OpenAI-compatible server, keeps every finished note
in OUT/clinical_note_injected, and goes on there when it is started again.
"""

import argparse
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from common.commands import UserError, parser, run
from common.files import replaceable, whole_folder
from common.llm_server import Server, check_endpoint
from common.record import command_line
from data_prep import parquet
from data_prep.clinical import dialogues, graded, published, rewrite, writing
from data_prep.clinical.graded import Graded
from data_prep.clinical.inject import Writer, injected
from data_prep.clinical.rules import Rules
from data_prep.writing import manifest
from data_prep.writing.preparation import compare
from reward_fns.clinical_note.notes import PROBLEM, STEP, positions

RULES, TRAIN, TASK = "rules", "train", "clinical_note"
SETS = {"A_Verify": "a_verify", "A_Validate": "a_validate", "Dialogue_G": "dialogue_g"}  # case ids begin so
PAPER = {
    "train cases": 1272, "train problems of gold notes": 4181, "train steps of gold notes": 14141,
    "train positions of gold notes": 25047,
    "a_verify cases": 80, "a_verify wrong notes": 612, "a_validate cases": 20, "a_validate wrong notes": 155,
    "dialogue_g cases": 80, "dialogue_g wrong notes": 613, "a_prefer cases": 80,
}  # fmt: skip
Best = tuple[Graded, bool]


class Source(NamedTuple):
    """The gold notes of every set, the wrong ones that are there already, and sets with a best note of another kind."""

    golds: dict[str, list[Graded]]
    wrong: dict[str, list[Graded]]
    preferred: dict[str, list[Best]]
    altered: tuple[str, ...]  # sets whose gold notes are to be altered, too


def main(argv: list[str] | None = None) -> None:
    options = _options(argv)
    out = options.out / TASK
    replaceable(out, manifest.NAME)
    kept = manifest.Manifest(TASK, {"command": command_line("data_prep.clinical_notes", argv), "releases": {}})
    source = _published(options, kept) if options.published else _own(options, kept)
    made = _injected(source, options, kept) if options.inject else {}
    if not made and not source.wrong.get(TRAIN) and source.golds.get(TRAIN):
        kept.say("the training notes are all right ones, which teach no difference; add --inject rules or a server")
    with whole_folder(out) as folder:
        for name, notes in _sets(source, made):
            parquet.write(graded.rows(name, notes), folder / f"{name}.parquet", graded.NOTES)
            cases = sorted({one.case for one, _ in notes})
            ids = hashlib.sha256("".join(f"{case}\n" for case in cases).encode()).hexdigest()
            kept.files[f"{name}.parquet"] = {"rows": len(notes), "cases": len(cases), "cases_sha256": ids}
            kept.facts.setdefault("labels", {})[name] = Counter(label for one, _ in notes for label in one.labels or [])
        writing.write(folder, source.golds, kept)
        compare(_counts(source, made), PAPER if options.published else {}, kept)
        kept.write(folder)
    rows = ", ".join(f"{file['rows']:,} in {name}" for name, file in kept.files.items())
    print(f"{out}: notes, {rows}")


def _options(argv: list[str] | None) -> argparse.Namespace:
    p = parser(__doc__)
    which = p.add_mutually_exclusive_group(required=True)
    which.add_argument("--published", type=Path, metavar="DIR", help="the authors' repository, hanyin88/prm-clinic")
    which.add_argument("--dialogues", type=Path, metavar="DIR", help="CSV files with the columns dialogue and note")
    p.add_argument("--out", type=Path, required=True, help=f"DATA_DIR; files go to OUT/{TASK}")
    p.add_argument(
        "--inject", metavar="rules|URL", help="make wrong notes, by rules or with an OpenAI-compatible server"
    )
    p.add_argument("--samples", type=int, default=7, help="wrong notes of a case (default 7; published: 7.6)")
    p.add_argument("--seed", type=int, default=0, help="of what is altered and removed (default 0)")
    p.add_argument("--drop-unreadable", action="store_true", help="leave out notes of --dialogues without a problem")
    p.add_argument("--model", help="name of the server's model")
    p.add_argument("--concurrency", type=int, default=32, help="requests at once (default 32)")
    p.add_argument("--api-key-env", default="OPENAI_API_KEY", help="environment variable with the server's key")
    p.add_argument("--sending-notes-is-allowed", action="store_true", help="a server elsewhere may have the notes")
    options = p.parse_args(argv)
    if options.samples < 1 or options.concurrency < 1:
        raise UserError("--samples and --concurrency must be at least 1")
    if options.inject not in (None, RULES) and not options.inject.startswith(("http://", "https://")):
        raise UserError(f"--inject {options.inject} is neither {RULES} nor an http(s) URL; say one of them")
    if options.inject not in (None, RULES) and not options.model:
        raise UserError(f"--inject {options.inject} is a server and needs --model NAME; `--inject rules` needs none")
    return options


def _published(options: argparse.Namespace, kept: manifest.Manifest) -> Source:
    folder = published.folder(options.published)
    golds: dict[str, list[Graded]] = {TRAIN: list(published.notes(folder / published.TRAIN["gold"]))}
    wrong: dict[str, list[Graded]] = {}
    if (folder / published.TRAIN["errors"]).exists():
        wrong[TRAIN] = list(published.notes(folder / published.TRAIN["errors"]))
    else:
        kept.say(f"{folder} has no {published.TRAIN['errors']}: the training errors are not the published ones")
    for into, kind in ((golds, "gold"), (wrong, "errors")):
        for one in published.notes(folder / published.TASKS[kind]):
            into.setdefault(_set(one, folder), []).append(one)
    return Source(golds, wrong, {"a_prefer": list(published.preferences(folder))}, (TRAIN,))


def _set(one: Graded, folder: Path) -> str:
    for begin, name in SETS.items():
        if one.case.startswith(begin):
            return name
    raise UserError(f"{folder}: case {one.case} belongs to none of {', '.join(SETS)}; {published.REMEDY}")


def _own(options: argparse.Namespace, kept: manifest.Manifest) -> Source:
    golds = {}
    for name, notes, dropped in dialogues.sets(options.dialogues, options.drop_unreadable):
        kept.step(name, len(notes) + dropped, len(notes), "notes in which a problem can be made out")
        golds[name] = notes
    return Source(golds, {}, {}, tuple(golds))


def _injected(source: Source, options: argparse.Namespace, kept: manifest.Manifest) -> dict[str, list[Graded]]:
    made = {}
    for name in (name for name in source.altered if name in source.golds):
        golds = source.golds[name]
        writer, journal = _writer(options, name, golds)
        made[name], count = injected(golds, writer, options.samples, options.seed, journal)
        kept.facts.setdefault("injected", {})[name] = {"by": writer.name, "seed": options.seed, **count}
        print(f"{name}: " + ", ".join(f"{number:,} {what}" for what, number in sorted(count.items())))
    return made


def _writer(options: argparse.Namespace, name: str, golds: list[Graded]) -> tuple[Writer, Path | None]:
    """What alters the notes of a set, and where finished ones are kept; no set takes sentences of another."""
    if options.inject == RULES:
        return Rules(golds), None
    more: dict[str, Any] = {"key_env": options.api_key_env, "proxies": True}
    server = Server(options.inject, options.model, options.concurrency, **more)
    try:
        check_endpoint(server, options.sending_notes_is_allowed)
    except UserError as error:
        raise UserError(str(error).replace("--endpoint", "--inject")) from error
    journal = options.out / f"{TASK}_injected" / f"{name}-{rewrite.mark(server, golds)}-{options.seed}.jsonl"
    journal.parent.mkdir(parents=True, exist_ok=True)
    return rewrite.Rewriter(server), journal


def _sets(source: Source, made: dict[str, list[Graded]]) -> Iterator[tuple[str, list[Best]]]:
    """Every set: a case's best note first, the others behind it."""
    for name, golds in source.golds.items():
        notes = [(one, True) for one in golds]
        notes += [(one, False) for one in (*source.wrong.get(name, ()), *made.get(name, ()))]
        order = {one.case: at for at, one in enumerate(golds)}
        yield name, sorted(notes, key=lambda both: order.get(both[0].case, len(order)))
    yield from source.preferred.items()


def _counts(source: Source, made: dict[str, list[Graded]]) -> dict[str, int]:
    found = {}
    for name, golds in source.golds.items():
        found[f"{name} cases"] = len(golds)
        found[f"{name} wrong notes"] = len(source.wrong.get(name, ())) + len(made.get(name, ()))
        if name == TRAIN:
            kinds = Counter(one.kind for gold in golds for one in positions(gold.note))
            for what, number in (("problems", kinds[PROBLEM]), ("steps", kinds[STEP]), ("positions", kinds.total())):
                found[f"{name} {what} of gold notes"] = number
    return found | {f"{name} cases": len({one.case for one, _ in notes}) for name, notes in source.preferred.items()}


if __name__ == "__main__":
    run(main)
