"""Make one row of a paper: data, traces, SFT, GRPO, evaluation, comparison; what is done already is skipped.

    python -m recipes.reproduce table1/remove_hard                # or `bash recipes/drg_sapphire/reproduce.sh …`
    python -m recipes.reproduce table1/strict hardware=cpu        # on a laptop, with a tiny model and synthetic data

MIMIC names the folder that holds hosp/ and note/; it is needed until the data have been prepared. A stage that was
killed goes on where it stopped when the command is given again.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise

from common.commands import UserError, parser, run
from common.papers import row_of
from recipes.launcher.compose import RECIPES
from recipes.launcher.stages import Stage, check_options, hardware_of, stages

HOLDS = {"MIMIC": "hosp/ and note/", "CODIESP": "CodiEsp's train, dev and test"}


def words_to_run(stage: Stage) -> list[str]:
    """The stage's command with this Python and the variables filled in."""
    for name in re.findall(r"\$(\w+)", " ".join(stage.words)):
        if not os.environ.get(name):
            raise UserError(
                f"{stage.done} is missing and {name} is not set: prepare the data first, or set {name} to the folder "
                f"that holds {HOLDS[name]}"
            )
    words = [os.path.expandvars(word) for word in stage.words]
    programs = {"python": [sys.executable], "accelerate": [sys.executable, "-m", "accelerate.commands.accelerate_cli"]}
    return [*programs.get(words[0], [words[0]]), *words[1:]]


def differences(stage: Stage) -> Iterator[str]:
    """How data that were there already differ from the row's own: another cohort, or notes of another length."""
    if stage.done.name != "manifest.json":
        return
    asked, there = dict(pairwise(stage.words)), json.loads(stage.done.read_text())
    made = {"--split": (there.get("split") or {}).get("kind"), "--max-prompt-tokens": there.get("max_prompt_tokens")}
    for flag, value in made.items():
        if flag in asked and asked[flag] != str(value):
            yield f"{flag} {value}, and this row has {asked[flag]}"


def reproduce(name: str, options: list[str]) -> None:
    """Run every stage that has not been done; the first that fails ends it."""
    row = row_of(name)
    check_options(row, options)
    chain = stages(row, options)
    for stage in chain:  # before the first of them takes its time
        if not stage.is_done():
            words_to_run(stage)
    for number, stage in enumerate(chain, 1):
        began = time.monotonic()
        heading = f"[{number}/{len(chain)}] {stage.what}"
        if stage.is_done():
            print(f"{heading}: done before ({stage.done})", flush=True)
            for difference in differences(stage) if hardware_of(options) != "cpu" else ():
                print(f"warning: {stage.done} was made with {difference}", file=sys.stderr)
            continue
        print(f"{heading}\n      {stage.command}", flush=True)
        environment = {**os.environ, "PYTHON": sys.executable}
        status = subprocess.run(words_to_run(stage), cwd=RECIPES.parent, env=environment).returncode
        if status:
            print(
                f"error: stage {number} ended with status {status}; mend it and give the command again", file=sys.stderr
            )
            sys.exit(status)
        print(f"      {time.monotonic() - began:.0f} s", flush=True)
    if hardware_of(options) == "cpu":
        print("synthetic cases and a model of a million parameters: that it runs is shown, the figures mean nothing")


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__ or "", "python -m recipes.reproduce table1/strict hardware=cpu")
    arguments.add_argument("row", help="a row of the papers; `python -m recipes.check --rows` lists them")
    arguments.add_argument("overrides", nargs="*", metavar="key=value", help="as for the launcher")
    given = arguments.parse_args(argv)
    if hardware_of(given.overrides) == "cpu":
        os.environ.setdefault("DATA_DIR", "outputs/demo/data")
        os.environ.setdefault("TRACES", "outputs/demo/mimic/traces.parquet")
    reproduce(given.row, given.overrides)


if __name__ == "__main__":
    run(main)
