"""Notes as people and models write them: a text to problems and steps, and back.

    1. Asthma
    Assessment: She wheezes at night. Peak flow is low.
    Plan:
    - Start albuterol as needed.
    2. Follow-up instructions:
    - Return in two weeks.

    strict(text)     # the note, or ValueError with the line that breaks this form
    lenient(text)    # what can be made out: Markdown, bullets of any kind, missing numbers, a whole note around it
    strict(write(note)) == note    # where a step of an assessment is one sentence, and texts are one line

A sentence of an assessment is a step, and so is an item of a plan; the words "Assessment:" and "Plan:" stay in front of
the first step of theirs. Every scan is linear in the length of the text.
"""

import re
from collections.abc import Iterator

from reward_fns.clinical_note.notes import Note, Problem, Step

ASSESSMENT, PLAN = SECTIONS = ("Assessment:", "Plan:")
UNNAMED = "Assessment and plan"  # the title of what stands before any
MOST_TITLE_WORDS = 14
ABBREVIATED = "approx b.i.d dept dr e.g etc fig i.e jr mr mrs ms p.o q.d sr st t.i.d vs"
NO_END = frozenset(ABBREVIATED.split(" "))  # words whose full stop ends no sentence
ENDS = re.compile(r"[.!?][\"')\]]{0,3}\s+(?=[\"'(\[A-Z0-9])")
NUMBERED = re.compile(r"(?:problem\s{0,3})?#?(\d{1,2})\s?[.):]\s+(\S.*)", re.IGNORECASE)
SECTION = re.compile(
    r"(assessment|medical reasoning|impression|a|plan|medical treatment|p)\s?[:\-]\s*(.*)", re.IGNORECASE
)
BULLET = re.compile(r"(?:[-*\u2022\u2013\u25cf+]|\(?[a-z]\)|[a-z]\.)\s+(.*)")
FOLLOW_UP = re.compile(r"(follow[- ]?up(?: instructions)?)\s?:\s*(.*)", re.IGNORECASE)
BEGINS = re.compile(r"(?:assessment\s?(?:and|&|/)\s?plan|a\s?[&/]\s?p)\s?:?", re.IGNORECASE)
OTHER = re.compile(
    r"(?:subjective|objective|chief complaint|hpi|history of present illness|physical exam(?:ination)?|results|vitals"
    r"|vital signs|medications|allergies|review of systems|past medical history|social history|family history)\s?:?",
    re.IGNORECASE,
)
MARKUP = re.compile(r"[*_`]{1,3}|^\s{0,3}#{1,6}\s+")


def sentences(text: str) -> list[str]:
    """The sentences of a line; an abbreviation or a number before a full stop ends none."""
    found, begin = [], 0
    for end in ENDS.finditer(text):
        word = text[max(begin, end.start() - 12) : end.start()].rpartition(" ")[2].lstrip("(\"'").lower()
        number = word.isdecimal() and end.start() - begin < 3  # of a list: a sentence may well end with one
        if text[end.start()] == "." and (word in NO_END or len(word) == 1 or number):
            continue
        found.append(text[begin : end.end()].strip())
        begin = end.end()
    return [*found, *([rest] if (rest := text[begin:].strip()) else [])]


def write(note: Note) -> str:
    """A note in the strict form; problems are numbered anew."""
    lines: list[str] = []
    for no, problem in enumerate(note, 1):
        lines.append(f"{no}. {problem.title}")
        inside = ""
        for step in problem.steps:
            section = next((name for name in SECTIONS if step.text.startswith(name)), "")
            inside = section or inside
            if section == PLAN:
                lines += [PLAN, f"- {step.text.removeprefix(PLAN).strip()}"]
            elif section:
                lines.append(step.text)
            elif inside == ASSESSMENT:
                lines[-1] += f" {step.text}"
            else:
                lines.append(f"- {step.text}")
    return "\n".join(lines)


def strict(text: str) -> Note:
    """The note in exactly the form above; ValueError with the first line that is not."""
    problems: list[_Open] = []
    for no, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        number, _, title = line.partition(". ")
        if number == str(len(problems) + 1) and title.strip():
            problems.append(_Open(title.strip()))
        elif not problems:
            raise ValueError(f"line {no}: a note begins with its first problem, `1. TITLE`")
        elif not problems[-1].strictly(line.rstrip()):
            form = (
                f"`{len(problems) + 1}. TITLE`, `Assessment: TEXT`, `Plan:` or `- ITEM`, each section once and in order"
            )
            raise ValueError(f"line {no} is none of {form}")
    if not problems:
        raise ValueError("the note has no problems; it begins with `1. TITLE`")
    if any(problem.begun for problem in problems):
        raise ValueError("a plan has no item; write `- ITEM` below `Plan:`")
    return _closed(problems)


def lenient(text: str) -> Note:
    """The note that can be made out of a text; ValueError where there is nothing that could be a problem."""
    problems: list[_Open] = []
    blank, lines = True, _plan_lines(text)
    for at, (line, indented) in enumerate(lines):
        if not line:
            blank = True
            continue
        bullet = BULLET.fullmatch(line)
        body = bullet[1].strip() if bullet else line
        here, numbered = problems[-1] if problems else None, NUMBERED.fullmatch(body)
        if numbered and here and here.continues(int(numbered[1]), len(problems) + 1, indented or bool(bullet)):
            here.add([numbered[2]])
        elif numbered and not bullet:
            named = FOLLOW_UP.fullmatch(numbered[2])
            problems.append(_Open(named[1] + ":" if named else numbered[2]))
            problems[-1].add(sentences(named[2]) if named else [])
        elif (section := SECTION.fullmatch(body)) and (here or section[2]):
            here = here or _begin(problems, UNNAMED)
            here.open(ASSESSMENT if section[1][0] in "aAmMiI" and "treat" not in section[1].lower() else PLAN)
            here.add(sentences(section[2]))
        elif section:
            pass  # a heading over all problems
        elif not bullet and (follow_up := FOLLOW_UP.fullmatch(body)):
            _begin(problems, follow_up[1] + ":").add(sentences(follow_up[2]))
        elif bullet:
            (here or _begin(problems, UNNAMED)).add([body])
        elif _is_title(line, blank or not here, lines, at):
            _begin(problems, line)
        else:
            (here or _begin(problems, UNNAMED)).add(sentences(line))
        blank = False
    if not problems:
        raise ValueError("the note has no problems; write numbered titles, each with Assessment: and Plan: below it")
    return _closed(problems)


class _Open:
    """A problem that is being read."""

    __slots__ = ("begun", "item", "section", "steps", "title")

    def __init__(self, title: str) -> None:
        self.title = title
        self.steps: list[str] = []
        self.section, self.begun, self.item = "", "", 0  # begun: a section that no step belongs to yet

    def open(self, section: str) -> None:
        self.section = self.begun = section
        self.item = 0

    def add(self, texts: list[str]) -> None:
        for text in texts:
            self.steps.append(f"{self.begun} {text}".strip())
            self.begun = ""

    def continues(self, number: int, next_problem: int, inner: bool) -> bool:
        """Whether a number counts the steps of this problem and is not that of the next one."""
        if number != self.item + 1 or not (inner or self.item or number != next_problem):
            return False
        self.item += 1
        return True

    def strictly(self, line: str) -> bool:
        """Take a line of the strict form."""
        if line.startswith(f"{ASSESSMENT} ") and not self.steps and not self.section:
            self.open(ASSESSMENT)
            self.add(sentences(line.removeprefix(ASSESSMENT)))
        elif line == PLAN and not self.begun and self.section != PLAN:
            self.open(PLAN)
        elif line.startswith("- ") and line[2:].strip() and self.section != ASSESSMENT:
            self.add([line[2:].strip()])
        else:
            return False
        return True


def _begin(problems: list[_Open], title: str) -> _Open:
    problems.append(_Open(title))
    return problems[-1]


def _closed(problems: list[_Open]) -> Note:
    return tuple(
        Problem(no, problem.title, tuple(Step(at, text) for at, text in enumerate(problem.steps, 1)))
        for no, problem in enumerate(problems, 1)
    )


def _plan_lines(text: str) -> list[tuple[str, bool]]:
    """The lines of the assessment and plan, without Markdown, and whether each is indented."""
    lines = []
    for line in text.splitlines():
        plain = MARKUP.sub("", line) if BULLET.match(line.lstrip()) is None else _bulleted(line)
        lines.append((plain.strip(), plain[:2].isspace() and len(plain) > 1))
    begins = [at for at, (line, _) in enumerate(lines) if BEGINS.fullmatch(line)]
    lines = lines[begins[0] + 1 :] if begins else lines
    ends = [at for at, (line, _) in enumerate(lines) if OTHER.fullmatch(line)]
    return lines[: ends[0]] if ends else lines


def _bulleted(line: str) -> str:
    bullet, _, rest = line.lstrip().partition(" ")
    return f"{line[: len(line) - len(line.lstrip())]}{bullet} {MARKUP.sub('', rest)}"


def _is_title(line: str, alone: bool, lines: list[tuple[str, bool]], at: int) -> bool:
    if len(line.split(None, MOST_TITLE_WORDS)) > MOST_TITLE_WORDS:
        return False
    return line.endswith(":") or (alone and any(map(_begins_section, _following(lines, at))))


def _following(lines: list[tuple[str, bool]], at: int) -> Iterator[str]:
    """The next line that is not blank, if it comes soon."""
    yield from [line for line, _ in lines[at + 1 : at + 4] if line][:1]


def _begins_section(line: str) -> bool:
    return bool(SECTION.fullmatch(line) or BULLET.fullmatch(line))
