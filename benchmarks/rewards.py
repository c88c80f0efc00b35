"""Time every reward on ordinary and on adversarial completions, beside the papers' published rules stated plainly.

python -m benchmarks.rewards [--task drg|icd] [--number 2000] [--seed 0]

Times are processor time of one core. The plain rules get shorter adversarial completions, or they would not end.
"""

import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle

from benchmarks import published_plain
from common.commands import parser, run
from reward_fns.drg import ms_drg
from reward_fns.drg import reward as drg
from reward_fns.icd import icd10
from reward_fns.icd import reward as icd

ORDINARY, LONG, PLAIN = (
    4_096,
    65_536,
    512,
)  # characters: an ordinary completion, an adversarial one, one for the plain rules

_SENTENCES = (
    "The patient is a 67-year-old with coronary disease, hypertension and diabetes who came with breathlessness. ",
    "Oxygen saturation was 85% on room air and both lungs were congested on the film. ",
    "Furosemide was given by vein and the symptoms improved within two days. ",
    "Creatinine rose from 1.2 to 2.1, and potassium stayed < 3.5 until it was replaced. ",
    "The reason for the stay is what the treatment was aimed at, not what was found on the way. ",
    "A secondary diagnosis counts as a complication only when it was treated or watched. ",
    "Pneumonia was considered, yet there was no fever and the cultures stayed negative. ",
)
_UNITS = (
    *("\n", " ", "\t\n", "<", "</", "a", ".", "&", ",", "W ", "WITH MCC ", "with ", "DRG ", "AAAAA ", "\u00e9", "I10"),
    *("<think>", "</think>", "<answer>", "</answer>", "<answer></answer>", "<ANSWER>", "<think></think>", "\n<think>"),
    *("<diagnosis>", "\n<diagnosis>", "<diagnosis>I10</diagnosis>", "\n<diagnosis>I10</diagnosis>"),
    *("WITH/MCC/", "DRG/", "DRG-10", "</diagnosis>", "<>", "<t>", "< >", "</think", ">"),
    *("\n<think>a</think>\n<diagnosis>I10</diagnosis>", "CHRONIC OBSTRUCTIVE PULMONARY DISEASE WITH ", "470 "),
)

Reward = Callable[[str, str], object]


def frame(reasoning: str, answer: str, tag: str) -> str:
    """A completion in the right format."""
    return f"<think>\n{reasoning}\n</think>\n<{tag}>\n{answer}\n</{tag}>"


def ordinary(tag: str, number: int, rng: random.Random) -> list[tuple[str, str]]:
    """(completion, gold) pairs in the right format, of ORDINARY characters."""
    known = [drg.title for drg in ms_drg.DRGS] if tag == "answer" else list(icd10.table().ordered)
    pairs = []
    for _ in range(number):
        answer = rng.choice(known)
        room = ORDINARY - len(frame("", answer, tag))
        reasoning = "".join(rng.choices(_SENTENCES, k=room // 70 + 1))[:room]
        pairs.append((frame(reasoning, answer, tag), rng.choice(known)))
    return pairs


def adversarial(tag: str, length: int) -> Iterator[tuple[str, str]]:
    """(name, completion) pairs of about this length: a unit alone, in the reasoning, and in the answer."""
    answer = "HEART FAILURE AND SHOCK WITH MCC" if tag == "answer" else "I21.4"
    for unit in _UNITS:
        many = unit * (length // len(unit))
        yield f"{unit!r} alone", many
        yield f"{unit!r} in the reasoning", frame(many, answer, tag)
        yield f"{unit!r} in the answer", frame("a", many, tag)


def per_second(reward: Reward, pairs: list[tuple[str, str]], repeats: int = 5) -> float:
    """(completion, gold) pairs scored in a second of one core, in the best of some repeats."""
    best = float("inf")
    for _ in range(repeats):
        start = time.thread_time()
        for completion, gold in pairs:
            reward(completion, gold)
        best = min(best, time.thread_time() - start)
    return len(pairs) / best


def seconds(reward: Reward, pairs: list[tuple[str, str]], repeats: int = 3) -> list[float]:
    """The processor time that the reward takes for each (completion, gold) pair, in the best of some repeats."""
    spent = []
    for completion, gold in pairs:
        best = float("inf")
        for _ in range(repeats):
            start = time.thread_time()
            reward(completion, gold)
            best = min(best, time.thread_time() - start)
        spent.append(best)
    return spent


def rewards(task: str) -> dict[str, Reward]:
    """The rewards of a task, and "plain", the published rule stated plainly."""

    if task == "icd":
        own = {f"{matching}": partial(icd.compute_score, "mimic_icd", matching=matching) for matching in icd.MATCHING}
        return {**own, "plain": published_plain.icd_score}
    own = {
        f"{matching} {accuracy}": partial(drg.compute_score, "mimic_drg", matching=matching, accuracy=accuracy)
        for matching in drg.MATCHING
        for accuracy in drg.SCHEMES
    }
    return {**own, "plain": published_plain.drg_score}


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__, "python -m benchmarks.rewards --task drg")
    arguments.add_argument("--task", choices=("drg", "icd"), help="one task only (default: both)")
    arguments.add_argument("--number", type=int, default=2000, help="ordinary completions to time (default: 2000)")
    arguments.add_argument("--seed", type=int, default=0, help="of the ordinary completions (default: 0)")
    given = arguments.parse_args(argv)
    print(f"{'reward':24}{'completions':32}{'per second':>12}{'p50 us':>10}{'p99 us':>10}{'max us':>10}")
    for task, tag, gold in (("drg", "answer", ms_drg.DRGS[0].title), ("icd", "diagnosis", "I214")):
        if given.task in (None, task):
            pairs = ordinary(tag, max(1, given.number), random.Random(given.seed))
            for name, reward in rewards(task).items():
                length = PLAIN if name == "plain" else LONG
                hard = list(zip((text for _, text in adversarial(tag, length)), cycle([gold]), strict=False))
                _report(f"{task} {name}", f"ordinary, {ORDINARY} characters", reward, pairs)
                _report(f"{task} {name}", f"adversarial, {length} characters", reward, hard)


def _report(name: str, completions: str, reward: Reward, pairs: list[tuple[str, str]]) -> None:
    spent = sorted(seconds(reward, pairs))
    p50, p99, most = (1e6 * spent[int(share * (len(spent) - 1))] for share in (0.5, 0.99, 1.0))
    print(f"{name:24}{completions:32}{per_second(reward, pairs):12,.0f}{p50:10.1f}{p99:10.1f}{most:10.1f}", flush=True)


if __name__ == "__main__":
    run(main)
