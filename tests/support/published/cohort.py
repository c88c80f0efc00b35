"""DRG-LLaMA's cohort and DRG-Sapphire's samples once more, step by step with pandas and scikit-learn.

What the programs of both do, as it is described, in the plainest way; nothing of data_prep is called.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from tests.support.commands import ROOT
from tests.support.numpy_sorts import SCALAR, numpy_argsort

ON_ADMISSION = ["Medications on Admission", "___  on Admission", "___ on Admission"]
STUBS = [r"Mg-1.", r"Mg-2.", r"LACTATE-1.", r"LACTATE-2.", "Epi-", "Gap-", "COUNT-", "TRF-"]


def course(note: str) -> str | None:
    """The captured hospital course of a note."""
    lines = note.split("\n")
    heading = next((i for i, line in enumerate(lines) if "Brief Hospital Course" in line), None)
    if heading is not None:
        for terminators in (ON_ADMISSION, ["Discharge Medications"]):
            captured = up_to_the_last(lines[heading + 1 :], terminators)
            if captured is not None:
                return "\n" + captured.lstrip("\n")
    stubs = [match.end() for stub in STUBS for match in re.finditer(stub + "___", note)]
    if not stubs:
        return None
    rest, *below = note[min(stubs) :].split("\n")
    captured = up_to_the_last(below, ON_ADMISSION[:1])
    return None if captured is None else f"{rest}\n{captured}"


def up_to_the_last(lines: list[str], terminators: list[str]) -> str | None:
    """The lines before the last one that has a terminator, and what stands before its last terminator."""
    for last in reversed(range(len(lines))):
        place = max(lines[last].rfind(word) for word in terminators)
        if place >= 0:
            return "\n".join([*lines[:last], lines[last][:place]])
    return None


def titles() -> pd.DataFrame:
    return pd.read_csv(ROOT / "reward_fns/drg/ms_drg_v34.csv", dtype=str, keep_default_na=False)


def cohort(mimic: Path, own: dict[str, str]) -> pd.DataFrame:
    """hadm_id, course, number and title of every case, in the order of the notes."""
    notes = pd.read_csv(mimic / "note/discharge.csv.gz", usecols=["hadm_id", "text"])
    notes["course"] = [course(text) for text in notes["text"].fillna("")]
    notes = notes.dropna(subset=["hadm_id", "course"])
    notes = notes[[len(text.split()) > 40 for text in notes["course"]]]
    notes = notes.drop_duplicates("course", keep="first")

    codes = pd.read_csv(mimic / "hosp/drgcodes.csv.gz", dtype={"description": str, "drg_type": str})
    codes = codes[codes["drg_type"] == "HCFA"]
    number_of = {title: int(number) for title, number in titles()[["title", "number"]].itertuples(index=False)}
    numbers = []
    for raw in codes["description"]:
        text = str(raw).replace("W/O", "WITHOUT").replace(" W ", " WITH ").replace("&", "AND").replace(",", "")
        text = text.replace(" CATH ", " CATHETERIZATION ").replace(" PROC ", " PROCEDURES ")
        numbers.append(number_of.get(text if text in number_of else own.get(text, "")))
    codes = codes.assign(number=numbers).dropna(subset=["number"])

    cases = notes.merge(codes[["hadm_id", "number"]], on="hadm_id", how="inner")
    cases = cases[cases.groupby("number")["number"].transform("size") >= 2].reset_index(drop=True)
    title_of = {number: title for title, number in number_of.items()}
    cases["number"] = cases["number"].astype(int)
    return cases.assign(title=[title_of[number] for number in cases["number"]])


def divided(cases: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and test rows in the order in which the published programs have them."""
    ordered = cases.iloc[numpy_argsort([cases["number"].to_numpy()], **SCALAR)[0]]
    rank = np.unique(ordered["number"], return_inverse=True)[1]
    train, test = train_test_split(ordered, test_size=0.1, random_state=42, stratify=rank)
    return train, test


def samples(train: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Cold start and DRG-Small, of a training set large enough for scikit-learn: 100 rows a title."""
    frequent = with_at_least(train, 5)
    rest, cold = train_test_split(frequent, test_size=0.01, random_state=42, stratify=frequent["title"])
    _, small = train_test_split(rest, test_size=0.2, random_state=42, stratify=rest["title"])
    return {"rl/cold": cold, "sft/cold": cold, "rl/small": small, "sft/small": small}


def shares_of(train: pd.DataFrame, shares: tuple[int, ...]) -> dict[str, pd.DataFrame]:
    """The SFT and RL parts of the whole training set, by their files' names."""
    whole, found = with_at_least(train, 2), {}
    for share in shares:
        rl, sft = train_test_split(whole, test_size=share / 100, random_state=42, stratify=whole["title"])
        found |= {f"rl/full_{share}": rl, f"sft/full_{share}": sft}
    return found


def with_at_least(rows: pd.DataFrame, fewest: int) -> pd.DataFrame:
    counts = rows["title"].value_counts()
    return rows[rows["title"].isin(counts[counts >= fewest].index)]
