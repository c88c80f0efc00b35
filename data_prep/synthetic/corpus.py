"""Synthetic cases with all their codes, in the layout of CodiEsp: for a laptop without that corpus."""

from pathlib import Path

from data_prep.cohort.codiesp import DIAGNOSIS, TEXTS
from data_prep.synthetic.admissions import admissions
from data_prep.synthetic.tables import hosp_rows, in_icd9

SHARES = {"train": 14, "dev": 3, "test": 3}  # of 20 cases
EVIDENCE = "sin evidencia"


def write_corpus(out: Path, notes: int, words: float, seed: int) -> int:
    """Write the splits; how many cases there are."""
    places = [split for split, share in SHARES.items() for _ in range(share)]
    codes_of: dict[str, dict[str, list[str]]] = {split: {} for split in SHARES}
    for split in SHARES:
        (out / split / TEXTS).mkdir(parents=True)
    for position, admission in enumerate(admissions(notes, words, seed)):
        if not admission.course or admission.text is None or in_icd9(seed, position, admission):
            continue
        rows = [row for name, row in hosp_rows(seed, position, admission) if name == "diagnoses_icd"]
        case, split = f"S{admission.hadm_id}-1", places[position % len(places)]
        codes_of[split][case] = list(dict.fromkeys(code.lower() for *_, code, version in rows if version == 10))
        (out / split / TEXTS / f"{case}.txt").write_text(admission.course, encoding="utf-8")
    for split, cases in codes_of.items():
        pairs = [(case, code) for case, codes in cases.items() for code in codes]
        tables = {
            "D": [f"{case}\t{code}" for case, code in pairs],
            "X": [f"{case}\t{DIAGNOSIS}\t{code}\t{EVIDENCE}\t0 1" for case, code in pairs],
        }
        for kind, lines in tables.items():
            (out / split / f"{split}{kind}.tsv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return sum(map(len, codes_of.values()))
