"""The published ICD evaluation once more, as it is described, and completions of 22 kinds to try it on."""

import random
import re
from functools import cache

from sklearn.metrics import precision_recall_fscore_support

PAIR = re.compile(
    r"\s*(?:<think>(?:(?!</?think>).)*</think>)?\s*<diagnosis>((?:(?!</?diagnosis>).)*)</diagnosis>", re.DOTALL
)
ENDS = ["C00", "D50", "E00", "F00", "G00", "H00", "H60", "I00", "J00", "K00", "L00", "M00", "N00", "O00", "P00", "Q00",
        "R00", "S00", "U00", "V00", "Z00", "a00"]  # fmt: skip
NUMBERS = [*map(str, range(1, 20)), "22", "20", "21"]
LEVELS = ("chapter", "category", "code")


def answer(completion: str) -> str:
    """The code of the first pair, "" without one."""
    text = "<think>" + completion
    for line in re.finditer(r"^(?=\s*<)", text, re.MULTILINE):
        if found := PAIR.match(text, line.start()):
            return found[1].strip().replace(".", "")
    return ""


@cache
def chapter(text: str) -> str:
    return next(number for end, number in zip(ENDS, NUMBERS, strict=True) if text[:3].upper() < end)


def classes(text: str, labels: list[str]) -> dict[str, str]:
    """The class of an answer, or of a gold, at every level; labels end with NIL."""
    return {
        "code": text if text in labels else "NIL",
        "category": text[:3] if text[:3] in {label[:3] for label in labels} else "NIL",
        "chapter": chapter(text) if chapter(text) in {chapter(label) for label in labels} else chapter("NIL"),
    }


def scores(completions: list[str], golds: list[str], labels: list[str]) -> dict[str, float]:
    """Macro precision, recall and F1 over the classes that occur."""
    said = [classes(answer(completion), [*labels, "NIL"]) for completion in completions]
    right = [classes(gold, [*labels, "NIL"]) for gold in golds]
    made = {}
    for level in LEVELS:
        pair = [case[level] for case in right], [case[level] for case in said]
        found = precision_recall_fscore_support(*pair, average="macro", zero_division=0)
        made |= {f"{level}/{name}": value for name, value in zip(("precision", "recall", "f1"), found, strict=False)}
    return made


def completions(gold: str, labels: list[str], chance: random.Random) -> list[str]:
    """A completion of each kind, most of them with this code or another label."""
    code = gold if chance.random() < 0.5 else chance.choice(labels)
    other, dotted = chance.choice(labels), f"{code[:3]}.{code[3:]}"
    think, block = "pain\nand troponin</think>", "<diagnosis>{}</diagnosis>".format
    return [
        think + block(code),
        think + "\n" + block(f"\n{code}\n"),
        think + block(dotted),
        think + block(code.lower()),
        think + block(f"{dotted[:4]} {dotted[4:]}"),
        think + block(code) + block(other),
        think + block(code) + "\n" + block(other),
        think + block(code) + f" <think>{think}{block(other)}",
        think + block(code) + f"\n<think>{think}\n{block(other)}",
        think + block(code) + "\nand that is all",
        "pain\n" + block(code),
        block(code),
        f"pain\n{block(code)}\nno{think}{block(other)}",
        f"pain {block(code)} no{think}{block(other)}",
        think.upper() + block(code).upper(),
        think + block(chance.choice(["Diabetes", "Heart failure", "_I214", "NIL", "unknown", "I", "2", "?"])),
        think + block(""),
        think,
        "",
        f"{think}{block(code)[:-12]}\n{block(other)}",
        f"<think>{think}\n{block(code)}",
        think + "so\n \n " + block(f" {code} "),
    ]
