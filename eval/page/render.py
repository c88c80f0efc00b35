"""The report as one HTML page: nothing in it is fetched, and its policy lets no script run but its own.

    page = render(evaluations, differences, groups, trainings=trainings, figures=figures, data=data, …)

What it says is in static/*.html, which ask the evaluations and the functions given here. Text reaches the page
escaped (Jinja) or as JSON that static/*.js put into text nodes.
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
from eval.page.figure import DARK, LIGHT
from eval.page.runs import Evaluation, Scored, by_task
from eval.page.verifications import Verification
from eval.score import text
from reward_fns.task import TASKS

HERE = Path(__file__).parent / "static"
ASKED = (
    *(views.columns, views.confused, views.form, views.published),
    *(studies.paper_views, studies.scaling_series, studies.slope),
    *(thinned, number, text),
)


def render(
    evaluations: Sequence[Evaluation], differences: Sequence[Scored], cases: Sequence[Group], **shown: Any
) -> str:
    """The whole page; `shown` are trainings, verifications and their notes, figures, data, command, whether notes are
    embedded and files beside."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    script = "".join((HERE / name).read_text(encoding="utf-8") for name in ("report.js", "notes.js"))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=FileSystemLoader(HERE)
    )
    environment.globals |= {each.__name__: each for each in (*ASKED, about)}
    return environment.get_template("report.html").render(
        tasks=[(TASKS[key], runs) for key, runs in by_task(evaluations).items()],
        evaluations=evaluations,
        differences=by_task(differences),
        cases=cases,
        case_data=Markup(_json([group.data for group in cases])),
        note_data=Markup(_json(shown["notes"])),
        light=LIGHT,
        dark=DARK,
        css=Markup((HERE / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        commit=commit(),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        curves=CURVES,
        **shown,
    )


def about(each: Evaluation | Training | Verification) -> list[tuple[str, str]]:
    """What made a run, as far as its run.json says so."""
    run = each.run
    settings = run.get("settings", {})
    found: dict[str, Any] = {"folder": each.folder, "recipe": run.get("recipe"), "command": run.get("command")}
    if "sampling" in settings:
        found["sampling"] = settings["sampling"] | {key: settings[key] for key in ("seed", "prefill", "dtype")}
    if settings:
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
