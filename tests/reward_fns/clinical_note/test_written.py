"""Notes as people and models write them: what is a problem, what is a step, and how long it takes to say so."""

import time
import timeit
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_fns.clinical_note.notes import Note, Problem, Step
from reward_fns.clinical_note.written import lenient, sentences, strict, write

STRICT = """1. Asthma
Assessment: She wheezes at night. Peak flow is 2.5 l below normal, says Dr. Moss.
Plan:
- Start albuterol as needed.
- Check: peak flow.
2. Follow-up instructions:
- Return in two weeks."""
NOTE: Note = (
    Problem(1, "Asthma", (
        Step(1, "Assessment: She wheezes at night."), Step(2, "Peak flow is 2.5 l below normal, says Dr. Moss."),
        Step(3, "Plan: Start albuterol as needed."), Step(4, "Check: peak flow."),
    )),
    Problem(2, "Follow-up instructions:", (Step(1, "Return in two weeks."),)),
)  # fmt: skip

# ways to write the same note
ALSO = {
    "as it is": STRICT,
    "markdown": STRICT.replace("1. Asthma", "### **1. Asthma**").replace("Plan:", "**Plan:**").replace("- ", "* "),
    "numbers in another form": STRICT.replace("1. ", "1) ").replace("2. F", "Problem 2: F"),
    "no numbers": STRICT.replace("1. ", "").replace("2. F", "F"),
    "counted items": STRICT.replace("- Start", "1. Start").replace("- Check", "2. Check"),
    "blank lines": STRICT.replace("\n", "\n\n"),
    "windows": STRICT.replace("\n", "\r\n"),
    "other words": STRICT.replace("Assessment:", "A:").replace("Plan:", "P:"),
    "bulleted sections": STRICT.replace("Assessment:", "- Assessment:").replace("Plan:", "- Plan:"),
    "in a whole note": f"SUBJECTIVE\nShe coughs.\n\nASSESSMENT AND PLAN:\n\n{STRICT}\n\nPHYSICAL EXAM\nWheezes.",
    "plan in a line": STRICT.replace("Plan:\n- Start albuterol as needed.\n-", "Plan: Start albuterol as needed.\n-"),
}


@pytest.mark.parametrize("way", ALSO)
def test_the_same_note_is_made_out_however_it_is_written(way: str) -> None:
    assert lenient(ALSO[way]) == NOTE


def test_the_strict_form_is_what_write_writes() -> None:
    assert strict(STRICT) == NOTE and write(NOTE) == STRICT


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no problems"),
        ("   \n", "no problems"),
        ("Asthma", "line 1"),
        ("2. Asthma", "line 1"),
        ("1. Asthma\n3. Gout", "line 2"),
        ("1. Asthma\n**Plan:**", "line 2"),
        ("1. Asthma\nPlan: rest", "line 2"),
        ("1. Asthma\nPlan:", "no item"),
        ("1. Asthma\nPlan:\nAssessment: late", "line 3"),
        ("1. Asthma\nPlan:\n- rest\nPlan:\n- again", "line 4"),
        ("1. Asthma\nAssessment: one\nAssessment: two", "line 3"),
        ("1. Asthma\nAssessment: one\n- item", "line 3"),
        ("1. \nPlan:\n- rest", "line 1"),
    ],
)
def test_what_breaks_the_strict_form_is_named(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        strict(text)


@pytest.mark.parametrize("text", ["", "\n \n", "SUBJECTIVE\nCough.", "Assessment:\nPlan:"])
def test_a_note_without_problems_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no problems"):
        lenient(text)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("Pain. Fever.", ["Pain.", "Fever."]),
        ("Seen by Dr. Moss. Well.", ["Seen by Dr. Moss.", "Well."]),
        ("EF 45. Take 10 mg.", ["EF 45.", "Take 10 mg."]),
        ("12. Take 10 mg.", ["12. Take 10 mg."]),
        ('He said "no." Then left!', ['He said "no."', "Then left!"]),
        ("lower case. follows", ["lower case. follows"]),
        ("A. B. Moss came", ["A. B. Moss came"]),
        ("", []),
    ],
)
def test_sentences(text: str, steps: list[str]) -> None:
    assert sentences(text) == steps


LINES = st.sampled_from(
    ["1. Asthma", "2. Gout", "Assessment: Bad. Worse.", "Plan:", "- Rest.", "Plan: Rest.", "x", "", "  2. more",
     "**Gout**", "Follow-up: soon", "3) y", "-", "1.", "#", "Assessment and plan", "Results:", "\t", "1. 1. 1."]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(LINES, max_size=12).map("\n".join))
def test_what_is_strict_is_the_same_leniently_and_is_written_as_it_was(text: str) -> None:
    try:
        note = strict(text)
    except ValueError:
        note = None
    try:
        also = lenient(text)
    except ValueError:
        also = None
    if note is not None:
        assert strict(write(note)) == note
        assert also == note or "Assessment and plan" in text or "Results:" in text or "1. 1." in text
    if also is not None:
        assert all(step.text and problem.title for problem in also for step in problem.steps)


@pytest.mark.timed
@pytest.mark.parametrize(
    "piece", ["1. ", "- ", "**", "Plan:", "\n", "A. ", "1. a\n", "- a.\n", "(", " ", "Assessment: x. Y. "]
)
def test_reading_takes_time_in_proportion_to_the_length(piece: str) -> None:
    def seconds(times: int) -> float:
        text = piece * times
        timer = timeit.Timer(lambda: [_tried(read, text) for read in (strict, lenient)], timer=time.process_time)
        return min(timer.repeat(3, number=1))

    short, long = seconds(50_000 // len(piece)), seconds(400_000 // len(piece))
    assert long < 2.0
    assert long < 24 * max(short, 0.001)  # a square would be 64


def _tried(read: Callable[[str], Note], text: str) -> Note | None:
    try:
        return read(text)
    except ValueError:
        return None
