"""What a user may say about reasoning traces: all that a generation is told, and what makes a trace good.

    wanted = parse(argv, __doc__)      # flags over the YAML after --config

common.settings says how they are read.
"""

from dataclasses import dataclass

from common import settings
from common.commands import UserError
from common.settings import at_least, setting
from eval.generation.settings import Asked
from reward_fns.task import TASKS


@dataclass
class Settings(Asked):
    """What is asked for, and what is accepted; the first good completion of a draw counts."""

    n: int = 1
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 2048
    task: str = setting("what the data are of", "drg")
    style: str = setting("of the reasoning, one that the task knows", "cot_first")
    name: str | None = setting("of this configuration; ${name} stands for it", None)
    sample: str | None = setting("which cases; ${sample} stands for it", None)
    draws: int = setting("how often a case without an accepted trace is asked", 1, must=at_least(1))
    least_words: int = setting("fewest words of a reasoning", 10)
    most_words: int = setting("most words of a reasoning", 2000)
    copied: float = setting("largest share of a reasoning's runs of eight words that may stand in the note", 0.5)
    extra_codes: str | None = setting("file of ICD codes that today's code set lacks, as in the reward", None)
    symptoms: str | None = setting("CSV (code, description)", None)
    guidelines: str | None = setting("file of `python -m data_prep.guidelines`", None)


def parse(argv: list[str] | None, doc: str) -> Settings:
    """The settings of --config and the flags; bad ones are a sentence."""
    found = settings.parse(Settings, argv, doc)
    if found.task not in TASKS:
        raise UserError(f"there is no task {found.task!r}; there is {' and '.join(TASKS)}")
    styles = TASKS[found.task].styles
    if found.style not in styles:
        raise UserError(f"there is no trace style {found.style!r} for {found.task}; there is {', '.join(styles)}")
    if found.temperature == 0 and (found.n > 1 or found.draws > 1):
        raise UserError("temperature 0 gives one trace; set n, draws 1")
    return found
