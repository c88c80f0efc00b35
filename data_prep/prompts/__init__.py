"""The one place of prompt text: system and user message of every task, as files, hashed into every manifest.

    prompts.messages("drg", note)   # [{"role": "system", …}, {"role": "user", …}]

`prompt_dir` names a folder with files of the same names; those it lacks come from here.
"""

from pathlib import Path
from typing import NamedTuple

from common.commands import UserError
from common.files import sha256
from reward_fns.task import TASKS

HERE = Path(__file__).parent
NOTE = "{note}"


class Prompt(NamedTuple):
    """The two texts of a task; `user` contains {note} once."""

    system: str
    user: str


def load(task: str, prompt_dir: str | Path | None = None) -> Prompt:
    """The prompt of a task, a user's own files first; a folder that has none of them is a mistake."""
    files = [_file(name, prompt_dir or TASKS[task].prompts) for name in _names(task)]
    if prompt_dir and not any(file.parent == Path(prompt_dir) for file in files):
        raise UserError(f"{prompt_dir} has neither {' nor '.join(_names(task))}; name a prompt file so")
    system, user = files
    prompt = Prompt(system.read_text(encoding="utf-8").strip(), user.read_text(encoding="utf-8").strip())
    if prompt.user.count(NOTE) != 1 or NOTE in prompt.system:
        raise UserError(f"{user} must contain {NOTE} exactly once, and {system.name} not at all: the note goes there")
    return prompt


def messages(task: str, note: str, prompt_dir: str | Path | None = None) -> list[dict[str, str]]:
    """The chat that asks for one note; an empty system text gives no system message."""
    return fill(load(task, prompt_dir), note)


def fill(prompt: Prompt, note: str) -> list[dict[str, str]]:
    """The same for a prompt already loaded."""
    user = {"role": "user", "content": prompt.user.replace(NOTE, note)}
    return [{"role": "system", "content": prompt.system}, user] if prompt.system else [user]


def hashes(prompt_dir: str | Path | None = None) -> dict[str, str]:
    """SHA-256 of every prompt file in use, by file name."""
    files = {name: _file(name, prompt_dir or task.prompts) for task in TASKS.values() for name in _names(task.key)}
    return {name: sha256(file) for name, file in sorted(files.items())}


def _names(task: str) -> tuple[str, str]:
    return f"{task}_system.txt", f"{task}_user.txt"


def _file(name: str, prompt_dir: str | Path | None) -> Path:
    if prompt_dir is None:
        return HERE / name
    if not Path(prompt_dir).is_dir():
        raise UserError(f"the prompt folder {prompt_dir} does not exist; it holds files such as {name}")
    own = Path(prompt_dir) / name
    return own if own.exists() else HERE / name
