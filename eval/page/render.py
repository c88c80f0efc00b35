"""The report as one HTML page: nothing in it is fetched, and its policy lets no script run but its own.

    page = render(evaluations, differences, trainings, groups, data, command)

Text reaches the page escaped (Jinja) or as JSON that the case browser puts into text nodes.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common.record import commit
from eval.page import studies, views
from eval.page.cases import Group
from eval.page.curves import CURVES, Training, number, thinned
from eval.page.drawing import Palette
from eval.page.figure import DARK, LIGHT, Figure
from eval.page.runs import Difference, Evaluation, by_task
from eval.score import text
from eval.scoring.measure import measures
from reward_fns.task import TASKS, Task

HERE = Path(__file__).parent / "static"


def render(
    traced: studies.Traced,
    differences: Sequence[Difference],
    trainings: Sequence[Training],
    cases: Sequence[Group],
    drawn: dict[str, list[Figure]],
    **shown: Any,
) -> str:
    """The whole page; the template takes from `shown`: data, command, whether notes are embedded and files beside."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    evaluations = [each for each, _ in traced]
    script = (HERE / "report.js").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((HERE / "report.html").read_text(encoding="utf-8")).render(
        tasks=[_task(TASKS[key], runs, differences, drawn) for key, runs in by_task(evaluations).items()],
        trainings=trainings,
        paper=studies.paper_views(traced),
        figures=drawn,
        slopes=[(each, studies.slope(each)) for each in studies.scaling_series(traced)] if drawn["studies"] else [],
        cases=cases,
        case_data=Markup(_json([group.data for group in cases])),
        everything=[*evaluations, *trainings],
        light=_colours(LIGHT, "#fbfbfa", "#ffffff"),
        dark=_colours(DARK, "#15181b", "#1c2024"),
        css=Markup((HERE / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        commit=commit(),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        curves=CURVES,
        **{each.__name__: each for each in (views.columns, sampling, thinned, number, about, text)},
        **shown,
    )


def _task(
    task: Task, runs: list[Evaluation], differences: Sequence[Difference], drawn: dict[str, list[Figure]]
) -> dict[str, Any]:
    """All that the page shows of one task."""
    kind, measure, _ = views.classes(runs[0])
    first, *others = (each.scores["published"] for each in runs)
    return {
        "key": task.key,
        "title": task.title,
        "averages": task.classes,
        "evaluations": runs,
        "differences": by_task(differences).get(task.key, []),
        "columns": views.shown_columns(runs),
        "names": [name for names in views.columns(runs[0]).values() for name in names],
        "form": _form(task),
        "published": [name for name in first if all(name in other for other in others)],
        "figures": [each for each in drawn["accuracy"] if each.key == f"accuracy-{task.key}"],
        "classes": next(each for each in drawn["classes"] if each.key == f"classes-{task.key}"),
        "confusions": [each for each in drawn["confusion"] if each.key.startswith(f"confusion-{task.key}")],
        "groups": [views.classes(each)[2] for each in runs],
        "kind": kind,
        "measure": measure,
        "pairs": [(runs[-1], *views.confused(runs[-1]))],
    }


def _form(task: Task) -> dict[str, str]:
    """The measures of completions that the page shows, with their headings; the reward is the last."""
    units = ("share", "words", "tokens", "reward")
    ordered = sorted(measures(task), key=lambda measure: units.index(measure.unit))
    return {measure.name: measure.heading for measure in ordered if measure.heading}


def sampling(each: Evaluation) -> str:
    """How the completions were sampled, in a few words."""
    settings = each.run["settings"]
    drawn = settings["sampling"]
    words = f"temperature {drawn['temperature']:g}, top_p {drawn['top_p']:g}, at most {drawn['max_tokens']:,} tokens"
    return f"{words}, prefill {settings['prefill']}" if settings["prefill"] else words


def about(each: Evaluation | Training) -> list[tuple[str, str]]:
    """What made a run, as far as its run.json says so."""
    run = each.run
    settings = run.get("settings", {})
    found: dict[str, Any] = {"folder": each.folder, "recipe": run.get("recipe"), "command": run.get("command")}
    if settings:
        found["sampling"] = settings["sampling"] | {key: settings[key] for key in ("seed", "prefill", "dtype")}
        found["model"] = f"{settings['model']['name']} ({settings['model']['fingerprint'][:12]})"
        found["data"] = f"{settings['data']['name']} ({settings['data']['sha256'][:12]})"
    found |= {key: run.get(key) for key in ("overrides", "commit", "hardware", "versions", "started", "ended")}
    return [(key, _words(value)) for key, value in found.items() if value not in (None, "", [], {})]


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(item) or '-'}" for key, item in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _json(value: Any) -> str:
    """JSON in ASCII in which no tag and no entity can start."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _colours(palette: Palette, paper: str, card: str) -> dict[str, str]:
    """The page's colours by the names of their CSS variables, those of the figures among them."""
    found = {"paper": paper, "card": card, "ink": palette.ink, "soft": palette.soft, "line": palette.line}
    return found | {"accent": palette.series[0]} | {f"series-{i}": c for i, c in enumerate(palette.series, 1)}
