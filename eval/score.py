"""Score generations with the rule of training: every metric with its 95 % interval, n and definition.

    python -m eval.score --generations runs/after --against runs/before
    python -m eval.score --generations runs/test --dev runs/dev     # sets: the share of votes is chosen on dev

Writes GENERATIONS/scores.json and GENERATIONS/per_sample.parquet (no text but the answers) and prints a table. With
--risk, and always for sets, GENERATIONS/risk_coverage.json says how right the answers are that at least a share of the
samples of a case gives; `python -m eval.predict --accuracy` reads it. A folder of eval.classify has probabilities in
the place of votes. --weights adds what wrong DRGs cost, by CMS's relative weights.

scores.json:
    task         its key, and reward: the options that it is scored with (for drg its accuracy scheme)
    cases, patients, samples (a case), ties, bootstrap {level, over, draws, seed}
    metrics      by name: {value, interval [low, high], n (cases), definition, labels (averages over labels only)}
                 drg: LEVEL/pass@k for k = 1 … n and LEVEL/maj@n, LEVEL one of drg, base, status; answer_first,
                 cot_first
                 icd: LEVEL/accuracy, LEVEL/precision, /recall, /f1 (macro over gold and predicted labels), each also as
                 @gold and @all, and as micro_…; LEVEL one of chapter, category, code; LEVEL/pass@k and /maj@n where
                 samples > 1; nil, overlap
                 icd_set: LEVEL/micro_…, LEVEL/precision, /recall, /f1 (macro, also as @gold), LEVEL/case_… (mean over
                 cases), LEVEL/ap where samples > 1; pass@k and maj@n of whole sets; codes, unknown
                 all: valid, format, truncated, reward, n_tokens, reasoning_words
                 of a classifier also drg/top@5 and @10; its LEVEL/ap is over probabilities
    votes        icd_set: by level the micro averages at one share of votes and the curve over all shares
    value        with --weights: {weights, answer, metrics {error, absolute_error, over_coding, under_coding, …: as
                 above}, review {definition, curve [{reviewed, value, interval}]}} (eval.scoring.hospital)
    published    the same rows for the papers' own definitions, under the same names
    groups       drg: mdc and family, icd: chapter; by group: {cases, metrics {name: {value, interval}}}; a chapter also
                 has predicted, the number of answers in it per sample
    lengths      n_tokens and reasoning_words: {p0, p5, p25, p50, p75, p95, p100}
    paired       with --against: {against, definition, metrics {name: {value, interval, n, better, worse, p}}}; the last
                 three are null where a metric is no mean over cases
    settings, provenance

per_sample.parquet, a row per case in the order of index; a list has one entry per sample:
    index, hadm_id, subject_id, ground_truth
    pred []                     drg: the title, or the invalid answer; icd: the code, existing or not; "" where the
                                format is wrong
    gold_LEVEL, said_LEVEL []   the labels that are compared, null where an answer is invalid (icd: NIL is a label)
    acc, format, valid []       0 or 1; drg also base, status, answer_first; icd also category, chapter
    reward, n_tokens, truncated, reasoning_words []; icd also overlap
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from common.commands import UserError, parser, run
from common.files import whole_file
from common.record import command_line, commit
from eval.scoring import hospital, sets, votes
from eval.scoring.intervals import LEVEL, Bootstrap, difference
from eval.scoring.measure import TIES, Metric, groups, lengths, measure, measures, published
from eval.scoring.samples import Samples, score_folder, write_samples
from reward_fns.task import TASKS


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    p.add_argument("--generations", required=True, help="folder that eval.generate wrote")
    p.add_argument("--out", help="where to write the scores (default GENERATIONS/scores.json)")
    p.add_argument("--against", help="another folder with the same cases: adds the paired difference, this minus that")
    p.add_argument("--dev", help="sets of codes: a folder over other cases, on which the share of votes is chosen")
    p.add_argument("--risk", action="store_true", help="write risk_coverage.json, for which a case has several samples")
    p.add_argument("--bootstrap", type=int, default=1000, help="draws of patients for the intervals (default 1000)")
    p.add_argument("--ties", choices=tuple(TIES), default="fractional", help="what a tied vote counts")
    p.add_argument("--labels", help="ICD: labels.json of data_prep.icd (default: beside the data)")
    p.add_argument("--weights", metavar="FILE", help="DRG: CMS's Table 5 as text or CSV: adds the hospital value")
    p.add_argument("--weights-year", type=int, default=2017, metavar="FY", help="its fiscal year (default 2017, v34)")
    p.add_argument("--extra-codes", help="ICD: file with more codes that exist (default: codes.txt beside the data)")
    args = p.parse_args(argv)
    if args.bootstrap < 1:
        raise UserError("--bootstrap must be at least 1")
    bootstrap = Bootstrap(args.bootstrap)
    folder = Path(args.generations)
    files = {"labels": args.labels, "extra_codes": args.extra_codes}
    samples = score_folder(folder, **files)
    found = measure(samples, bootstrap, args.ties)
    scores = {
        "task": samples.task.key,
        "reward": dict(samples.task.options),
        "cases": samples.cases.num_rows,
        "patients": len(set(samples.patients.tolist())),
        "samples": samples.n,
        "bootstrap": {"level": LEVEL, "over": "patients", "draws": bootstrap.draws, "seed": bootstrap.seed},
        "metrics": {name: metric.row() for name, metric in found.items()},
        "ties": args.ties,
        "published": {name: metric.row() for name, metric in published(samples, bootstrap).items()},
        "groups": groups(samples, found, bootstrap),
        "lengths": lengths(samples),
        "settings": samples.run["settings"],
        "provenance": {
            "command": command_line("eval.score", argv),
            "commit": commit(),
            "generated": {name: samples.run.get(name) for name in ("command", "commit", "versions", "started")},
        },
    }
    risk = None
    if (samples.n > 1 or samples.chances) and (args.risk or samples.task.sets):
        dev = score_folder(Path(args.dev), **files) if args.dev else None
        risk = of_votes(samples, dev, scores, bootstrap)
    elif args.dev or args.risk:
        raise UserError("--risk needs several samples a case, and --dev sets of them, too; leave them out")
    if args.weights:
        scores["value"] = hospital.value(samples, args.weights, args.weights_year, bootstrap)
    if args.against:
        other = score_folder(Path(args.against), **files)
        scores["paired"] = compare(samples, found, other, measure(other, bootstrap, args.ties))
    write_samples(samples)
    out = Path(args.out) if args.out else samples.folder / "scores.json"
    with whole_file(out) as made:
        made.write_text(json.dumps(scores, indent=2) + "\n")
    if risk:
        with whole_file(out.with_name("risk_coverage.json")) as made:
            made.write_text(json.dumps(risk, indent=1) + "\n")
    print(table(scores))
    print(out)
    if not scores["metrics"]["valid"]["value"]:
        print(
            f"warning: no completion in {samples.folder} has a valid answer; look at the format rate, --prefill and "
            "--max-tokens",
            file=sys.stderr,
        )


def of_votes(these: Samples, dev: Samples | None, scores: dict[str, Any], bootstrap: Bootstrap) -> dict[str, Any]:
    """How right the cases are by how sure the votes are; of sets, `votes` in the scores, too."""
    task, least = these.task, votes.LEAST
    if dev and (dev.task is not task or not task.sets):
        raise UserError(f"--dev chooses the share of votes of sets, and {these.folder} and {dev.folder} are not of one")
    if task.sets:
        found = sets.voted(task, these.voting, these.patients, bootstrap, dev and dev.voting)
        scores["votes"] = {"chosen_on": str(dev.folder) if dev else None, **found}
        least = found[task.levels[task.finest].key]["share"]
    ballots = these.ballots(least)
    value = np.array([votes.value(task, each, gold) for each, gold in zip(ballots, these.golds(), strict=True)])
    sure = np.array([each.sure for each in ballots])
    table = votes.risk_coverage(sure, value, these.patients, bootstrap)
    what = "F1 of the set" if task.sets else "share of right answers"
    share = "probability" if these.chances else f"share of {these.n} votes"
    definition = f"accuracy is the {what} of the cases whose answer has at least that {share}"
    return {"task": task.key, "samples": these.n, "least": least, "definition": definition, "table": table}


def compare(these: Samples, mine: dict[str, Metric], those: Samples, yours: dict[str, Metric]) -> dict[str, Any]:
    """The paired difference, this minus that, of every metric that both have."""
    if not these.cases.equals(those.cases):
        here, there = (set(s.cases["index"].to_pylist()) for s in (these, those))
        detail = (
            f"{len(here - there)} cases only in the first and {len(there - here)} only in the second"
            if here != there
            else "the same case numbers with other admissions or golds"
        )
        raise UserError(f"{these.folder} and {those.folder} cannot be paired: {detail}; generate both from one file")
    return {
        "against": str(those.folder),
        "definition": "this minus that over the same cases; interval as above; p of the exact test that among the "
        "cases that differ (better, worse) both directions are equally likely (McNemar's for values of 0 and 1)",
        "metrics": {
            name: difference(metric.estimate, yours[name].estimate) for name, metric in mine.items() if name in yours
        },
    }


def table(scores: dict[str, Any]) -> str:
    """The scores as text: what the papers' tables show, then rates and lengths; the rest is left to the file."""
    n, task = scores["samples"], TASKS[scores["task"]]
    main = [name.replace("@n", f"@{n}") for name in task.printed]
    numbers = {measure.name for measure in measures(task) if measure.unit != "share"}
    shown = [name for name in scores["metrics"] if "/" not in name or name.split("/")[1] in main]
    paired = scores.get("paired")
    lines = [
        f"{scores['cases']} cases, {scores['patients']} patients, {n} samples a case, intervals 95 % by patient",
        f"{'':20}{'value':>9}  {'interval':16}" + (f"{'difference':>10}  {'interval':16}{'p':>8}" if paired else ""),
    ]
    for name in shown:
        line = f"{name:20}{_cell(scores['metrics'][name], name not in numbers)}"
        if paired and name in paired["metrics"]:
            row = paired["metrics"][name]
            line += _cell(row, name not in numbers, "+", 10) + ("" if row["p"] is None else f"{row['p']:8.2g}")
        lines.append(line.rstrip())
    if value := scores.get("value"):
        lines.append(f"hospital value, relative weights of FY {value['weights']['year']}")
        lines += [f"{name:20}{_cell(cell, share, digits=3)}".rstrip() for name, cell, share in hospital.lines(value)]
    return "\n".join(lines)


def text(cell: dict[str, Any], sign: str = "", scale: float = 100, digits: int = 1) -> str:
    """A metric as `value [low, high]`, in percent."""
    low, high = (f"{scale * bound:{sign}.{digits}f}" for bound in cell["interval"])
    return f"{scale * cell['value']:{sign}.{digits}f} [{low}, {high}]"


def _cell(row: dict[str, Any], percent: bool, sign: str = "", width: int = 9, digits: int = 2) -> str:
    value, _, interval = text(row, sign, *((100, 1) if percent else (1, digits))).partition(" ")
    return f"{value:>{width}}  {interval:16}"


if __name__ == "__main__":
    run(main)
