"""The papers' findings in small, on synthetic cases and a CPU: what GRPO does, with intervals over seeds and patients.

    python -m benchmarks.findings                            # or `make findings`: all studies
    python -m benchmarks.findings --only sharpens --plan     # the runs of one, and how long they take

benchmarks/findings.yaml says what each study compares and what the paper saw. Runs that several studies need are made
once; what is done is skipped, so that a stopped program goes on where it was. OUT/index.html shows every study whose
runs are there, from the moment when they are, with its verdict, the smallest effect that it could have seen, and a
figure beside the paper's numbers; OUT/findings.json holds the same, and a table is printed at the end. Verdicts are
computed (benchmarks.studies.statistics): a claim is shown when the 95 % interval of its effect lies on the side that
the paper saw, and a study by all its claims.

A YAML of --config may name another as its `base` and add to it: benchmarks/studies/second.yaml holds second designs for
findings that the first may not show, and makes in the same OUT what is not there yet.

--hardware is a word of recipes/hardware: the batch, the steps and the model stay those of the YAML. --quick makes the
smallest world, one step and one seed in OUT-quick: it proves the program, and its figures mean nothing.

What is found in a synthetic hospital with a model of a million parameters says that a mechanism exists, not how strong
it is elsewhere. The same command on the same machine gives the same world and prompts; sampling and the sums of two
threads may differ in their last digits, so figures move within their intervals from one run of a study to another, and
a verdict whose interval ends near no effect may move with them: more seeds (--seeds 1 2 3 4 5 6) settle it.
"""

import json
import os
import sys
from pathlib import Path

from benchmarks.studies import page, plan, running
from benchmarks.studies.jobs import Jobs
from benchmarks.studies.results import Result, results
from benchmarks.studies.statistics import NEEDED
from common.commands import UserError, parser, run
from common.files import whole_file
from common.record import now

YAML = Path(__file__).with_suffix(".yaml")
AT_ONCE = 2  # jobs of a tiny model, which one core keeps busy


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__, "python -m benchmarks.findings --only sharpens")
    p.add_argument("--out", type=Path, default=Path("outputs/findings"), help="default outputs/findings")
    p.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these studies")
    p.add_argument("--seeds", type=int, nargs="+", help=f"other seeds than the YAML's, at least {NEEDED}")
    p.add_argument("--hardware", default="cpu", help="a word of recipes/hardware (default cpu)")
    p.add_argument("--at-once", type=int, help="jobs at a time, each needs 8 GB (default 2, with a GPU 1)")
    p.add_argument("--plan", action="store_true", help="print the runs and the time that they take, and run nothing")
    p.add_argument("--quick", action="store_true", help="one step, one seed: figures mean nothing")
    p.add_argument("--config", type=Path, default=YAML, help="another YAML of studies")
    args = p.parse_args(argv)
    out = Path(f"{args.out}-quick" if args.quick else args.out).resolve()
    asked = plan.read(args.config, out, args.hardware, args.quick, args.seeds)
    if not args.quick and (count := len(asked.seeds)) < NEEDED:
        raise UserError(f"{count} different seeds are too few for a verdict; give {NEEDED} or more")
    usual = min(AT_ONCE, len(os.sched_getaffinity(0))) if args.hardware == "cpu" else 1
    if (at_once := usual if args.at_once is None else args.at_once) < 1:
        raise UserError(f"--at-once {at_once} is no number of jobs; give 1 or more")
    studies = asked.chosen(args.only)
    asked.check_recipes(studies)
    work = Jobs(asked)
    jobs = work.of(studies)
    running.check(out, jobs)
    if args.plan:
        print(running.table(out, jobs, at_once))
        return
    with running.alone(out):
        told = {study.name for study in _whole(asked, work)}

        def tell() -> None:
            if new := [study.name for study in _whole(asked, work) if study.name not in told]:
                told.update(new)
                for result in _write(asked, work, args.quick):
                    if result.study.name in new:
                        print(f"{'':9}{result.study.name}: {result.verdict}; {out / 'index.html'}", flush=True)

        running.run(out, jobs, at_once, tell)
        found = _write(asked, work, args.quick)
    print(table(found))
    print(out / "index.html")
    if args.quick:
        print("--quick: one step and one seed; the figures mean nothing", file=sys.stderr)


def table(found: list[Result]) -> str:
    """The studies as a table of Markdown."""
    lines = ["| finding | claim | here, 95 % interval | smallest effect | verdict |", "|---|---|---|---|---|"]
    for result in found:
        for at, said in enumerate(result.claims):
            title = f"{result.study.title}: **{result.verdict}**" if not at else ""
            smallest = f"{said.scale * said.effect.smallest:.1f}"
            lines.append(f"| {title} | {said.claim.says} | {said.text()} | {smallest} | {said.verdict} |")
    return "\n".join(lines)


def _whole(asked: plan.Plan, work: Jobs) -> list[plan.Study]:
    """The studies whose runs are all there."""
    return [
        study for study in asked.studies.values() if all(running.is_done(asked.out, job) for job in work.of([study]))
    ]


def _write(asked: plan.Plan, work: Jobs, quick: bool) -> list[Result]:
    """The page and the figures of those studies."""
    there = _whole(asked, work)
    found = results(asked, there)
    notes = {job.key: running.made(asked.out, job) for job in work.of(there)}
    seconds = {key: note["seconds"] for key, note in notes.items()}
    commits = sorted({note["commit"] for note in notes.values() if note["commit"]})
    studies = {
        result.study.name: {"verdict": result.verdict, "claims": [said.row() for said in result.claims]}
        for result in found
    }
    about = {"commits": commits, "made": now(), "seconds": seconds, "settings": asked.said}
    with whole_file(asked.out / "findings.json") as made:
        made.write_text(json.dumps({"studies": studies, **about}, indent=1) + "\n")
    with whole_file(asked.out / "index.html") as made:
        made.write_text(page.render(asked, found, seconds, commits, quick), encoding="utf-8")
    return found


if __name__ == "__main__":
    run(main)
