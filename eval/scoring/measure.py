"""Every metric of scored completions by its name: estimate, definition and, for averages over labels, how many.

found = measure(samples, Bootstrap(), ties="fractional")
found["drg/pass@1"].estimate.interval()
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.scoring import averages, metrics
from eval.scoring.averages import MEASURES, SETS, Answers
from eval.scoring.icd_labels import label_published
from eval.scoring.intervals import Bootstrap, Estimate, divide, means, percentiles, ratios
from eval.scoring.labels import NIL, Labelled
from eval.scoring.samples import Samples
from reward_fns.drg import ms_drg

TIES = {"fractional": "a tie counts 1 / the number of tied answers", "first": "a tie goes to what was said first"}
MACRO = "macro {}, the mean over labels {}"
MICRO = "micro {}, sums over all completions, {}"


@dataclass(frozen=True)
class Metric:
    """A number, how sure it is and what it means."""

    estimate: Estimate
    definition: str
    labels: float | None = None

    def row(self) -> dict[str, Any]:
        """As scores.json has it."""
        row = {
            "value": self.estimate.value,
            "interval": self.estimate.interval(),
            "n": self.estimate.n,
            "definition": self.definition,
        }
        return row if self.labels is None else row | {"labels": self.labels}


def measure(samples: Samples, bootstrap: Bootstrap, ties: str) -> dict[str, Metric]:
    """All metrics of the task, in the order of the tables."""
    found = {}
    votes = list(_votes(samples, ties))
    estimates = means(np.column_stack([values for _, _, values in votes]), samples.patients, bootstrap)
    found |= {name: Metric(e, text) for (name, text, _), e in zip(votes, estimates, strict=True)}
    if samples.task.key == "icd":
        for i, (level, title) in enumerate(samples.task.levels.items()):
            found |= _over_labels(level, title, answers_of(samples.labelled, i), samples.patients, bootstrap)
    return found | _of_completions(samples, bootstrap)


def answers_of(labelled: Labelled, level: int) -> Answers:
    """One level of ICD answers as icd_metrics takes them."""
    names = labelled.names[level]
    return Answers(labelled.said[:, :, level], labelled.gold[:, level], len(names), labelled.in_file[level])


def _votes(samples: Samples, ties: str) -> Iterator[tuple[str, str, np.ndarray]]:
    """Pass@k and Maj@n: name, definition, a value per case. For ICD Pass@1 is called accuracy."""
    n, icd = samples.n, samples.task.key == "icd"
    for i, (level, title) in enumerate(samples.task.levels.items()):
        said, gold = samples.said[:, :, i], samples.gold[:, i]
        right = said == gold[:, None]
        if icd:
            yield f"{level}/accuracy", f"{title}: share of right completions", right.mean(axis=1)
            if n == 1:
                continue
        for k in range(1, n + 1):
            meaning = f"mean over {n} samples" if k == 1 else f"chance that at least one of {k} samples is right"
            yield f"{level}/pass@{k}", f"{title}: {meaning}", metrics.pass_at_k(right, k)
        yield (
            f"{level}/maj@{n}",
            f"{title}: the most frequent valid answer of {n} is right; {TIES[ties]}; no valid answer is wrong",
            metrics.majority(said, gold, ties),
        )


def _over_labels(
    level: str, title: str, answers: Answers, patients: np.ndarray, bootstrap: Bootstrap
) -> Iterator[tuple[str, Metric]]:
    macro = averages.macro(answers, patients, bootstrap)
    for name, (estimate, labels) in macro.items():
        measure, over = _words(name)
        yield f"{level}/{name}", Metric(estimate, f"{title}: {MACRO.format(measure, over)}", labels)
    for name, estimate in averages.micro(answers, patients, bootstrap).items():
        measure, over = _words(name)
        text = f"{title}: {MICRO.format(measure, over)}"
        yield f"{level}/micro_{name}", Metric(estimate, text, macro[name][1])


def _words(name: str) -> tuple[str, str]:
    measure, at, labelled = name.partition("@")
    return ("F1" if measure == "f1" else measure), SETS[at + labelled]


def _of_completions(samples: Samples, bootstrap: Bootstrap) -> dict[str, Metric]:
    """Rates and lengths over all completions."""
    numbers, task = samples.numbers, samples.task
    shares = {
        "valid": (numbers["valid"], f"share of completions in the right format whose answer is {task.valid}"),
        "format": (numbers["format"], "share of completions in the right format"),
        "truncated": (numbers["truncated"], "share of completions cut at max_tokens or at the model's context"),
    }
    if task.key == "drg":
        first = numbers["answer_first"]
        shares |= {
            "answer_first": (first, "share of completions in the right format that name a DRG in their first 50 words"),
            "cot_first": (
                numbers["format"] - first,
                "share of completions in the right format that do not name a DRG in their first 50 words",
            ),
            "reward": (numbers["reward"], "mean reward: format plus strict accuracy"),
        }
    else:
        codes = samples.labelled.names[-1]
        shares |= {
            "nil": (
                samples.said[:, :, -1] == codes.index(NIL),
                f"share of completions whose code is outside the label file of {len(codes) - 1} codes",
            ),
            "overlap": (
                numbers["overlap"],
                "mean share of the longer of answer and gold that their common prefix makes; 0 without a valid answer",
            ),
            "reward": (numbers["reward"], "mean reward: format plus outcome, without the judge"),
        }
    shares["n_tokens"] = numbers["n_tokens"], "mean number of tokens of a completion"
    columns = np.column_stack([values.mean(axis=1) for values, _ in shares.values()])
    found = means(columns, samples.patients, bootstrap)
    metric = {name: Metric(e, text) for (name, (_, text)), e in zip(shares.items(), found, strict=True)}
    words = numbers["reasoning_words"].sum(axis=1, keepdims=True)
    (reasoning,) = ratios(words, (numbers["reasoning_words"] > 0).sum(axis=1)[:, None], samples.patients, bootstrap)
    text = "mean number of words of the reasoning of completions in the right format; 0 where there are none"
    return metric | {"reasoning_words": Metric(reasoning, text)}


def lengths(samples: Samples) -> dict[str, dict[str, float]]:
    """Quantiles of the lengths over all completions (reasoning: those that have one)."""
    found = {}
    for name in ("n_tokens", "reasoning_words"):
        values = samples.numbers[name]
        values = values[values > 0] if (values > 0).any() else np.zeros(1)
        marks = (0, 5, 25, 50, 75, 95, 100)
        found[name] = {f"p{mark}": float(v) for mark, v in zip(marks, np.percentile(values, marks), strict=True)}
    return found


def groups(samples: Samples, found: dict[str, Metric], bootstrap: Bootstrap) -> dict[str, dict[str, Any]]:
    """DRG: metrics per MDC and per family (base DRG). ICD: precision, recall and F1 of every chapter."""
    if samples.task.key == "icd":
        return {"chapter": _chapters(samples, bootstrap)}
    n = samples.n
    names = dict.fromkeys(
        ("drg/pass@1", f"drg/pass@{n}", f"drg/maj@{n}", "base/pass@1", "status/pass@1", "valid", "n_tokens")
    )
    columns = np.column_stack([found[name].estimate.cases for name in names])
    entries = [ms_drg.DRGS[i] for i in samples.gold[:, 0]]
    grouped = {}
    for kind, of in (("mdc", [entry.mdc or "none" for entry in entries]), ("family", [e.base for e in entries])):
        grouped[kind] = _grouped(columns, list(names), of, samples.patients, bootstrap)
    return grouped


def _grouped(
    columns: np.ndarray, names: list[str], of: list[str], patients: np.ndarray, bootstrap: Bootstrap
) -> dict[str, Any]:
    from scipy.sparse import csr_matrix, hstack

    known, group, sizes = np.unique(of, return_inverse=True, return_counts=True)
    cases, width = columns.shape
    rows, places = np.repeat(np.arange(cases), width), group[:, None] * width + np.arange(width)
    above = csr_matrix((columns.ravel(), (rows, places.ravel())), shape=(cases, len(known) * width))
    below = csr_matrix((np.ones(cases), (np.arange(cases), group)), shape=(cases, len(known)))
    totals = bootstrap.totals(hstack([above, below], format="csr"), patients)
    drawn = divide(totals[:, : len(known) * width], np.repeat(totals[:, len(known) * width :], width, axis=1))
    low, high = percentiles(drawn).reshape(2, len(known), width)
    values = np.asarray(above.sum(axis=0)).reshape(len(known), width) / sizes[:, None]
    return {
        str(known[i]): {
            "cases": int(sizes[i]),
            "metrics": {
                name: {"value": float(values[i, k]), "interval": [float(low[i, k]), float(high[i, k])]}
                for k, name in enumerate(names)
            },
        }
        for i in np.argsort(-sizes, kind="stable")
    }


def _chapters(samples: Samples, bootstrap: Bootstrap) -> dict[str, Any]:
    answers, names = answers_of(samples.labelled, 0), samples.labelled.names[0]
    rows = {}
    for label, estimates, support, said in averages.by_class(answers, samples.patients, bootstrap):
        cells = {name: {"value": e.value, "interval": e.interval()} for name, e in estimates.items()}
        rows[names[label]] = {"cases": support, "predicted": said / samples.n, "metrics": cells}
    return dict(sorted(rows.items(), key=lambda row: int(row[0])))


def published(samples: Samples, bootstrap: Bootstrap) -> dict[str, Metric]:
    """The metrics as the papers' definitions have them where those differ from ours (`compat: published`)."""
    golds = samples.cases["ground_truth"].to_pylist()
    if samples.task.key == "icd":
        labelled, found = label_published(samples.published, golds, samples.options), {}
        rule = "; unparsed answers go, as published, to the chapter of their first letter (none: 1) and to NIL"
        for i, (level, title) in enumerate(samples.task.levels.items()):
            macro = averages.macro(answers_of(labelled, i), samples.patients, bootstrap)
            for measure in MEASURES:
                estimate, labels = macro[measure]
                text = f"{title}: {MACRO.format(*_words(measure))}{rule}"
                found[f"{level}/{measure}"] = Metric(estimate, text, labels)
        return found
    rule = "DRG: the first answer block anywhere equals the gold letter by letter, strip and upper case aside"
    texts = [[text.strip().upper() for text in row] for row in samples.published]
    golds = [title.strip().upper() for title in golds]
    place = {text: i for i, text in enumerate({text for row in texts for text in row if text}.union(golds))}
    said = np.array([[place.get(text, metrics.INVALID) for text in row] for row in texts])
    gold = np.array([place[title] for title in golds])
    n = samples.n
    values = {
        "drg/pass@1": (metrics.pass_at_k(said == gold[:, None], 1), f"{rule}; mean over {n} samples"),
        f"drg/pass@{n}": (metrics.pass_at_k(said == gold[:, None], n), f"{rule}; any of {n} samples"),
        f"drg/maj@{n}": (
            metrics.majority(said, gold, "first"),
            f"{rule}; the most frequent text of {n}, a DRG or not; a tie goes to what was said first",
        ),
    }
    found = means(np.column_stack([value for value, _ in values.values()]), samples.patients, bootstrap)
    return {name: Metric(e, text) for (name, (_, text)), e in zip(values.items(), found, strict=True)}
