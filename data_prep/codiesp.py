"""CodiEsp to a set of ICD-10-CM codes for each clinical case, as parquet for verl and for SFT.

    python -m data_prep.codiesp --corpus final_dataset_v4_to_publish --out data

The corpus (CC BY 4.0, https://zenodo.org/records/3837305) is downloaded by you. Writes OUT/codiesp/{train,dev,test}
.parquet, split as published, codes.txt (codes that the tabular list lacks, mostly because Spain leaves out the seventh
character; the reward's option extra_codes), sft_evidence.parquet (the training cases with an answer whose reasoning is
made of the sentences that share most words with the titles of the codes) and manifest.json. extra_info.case is the
corpus's own id, extra_info.evidence the Spanish words behind each code.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from common.commands import existing, parser, run
from common.files import replaceable, sha256
from data_prep import parquet
from data_prep.cohort import codiesp
from data_prep.cohort.codiesp import Case
from data_prep.writing import manifest, preparation, rows
from reward_fns.icd import icd10
from reward_fns.icd_set.codes import JOINT
from reward_fns.task import TASKS

TASK = TASKS["icd_set"]
COUNTS = ("cases", "rows", "codes", "categories", "codes a case, mean", "codes a case, max", "words a case, mean",
          "words a case, max", "rows in the tabular list, %", "rows whose code occurs in train, %")  # fmt: skip
# What the corpus holds, as counted in its fourth edition.
PUBLISHED = {
    "train": (500, 5639, 1767, 809, 11.3, 40, 298, 955, 98.7, 100.0),
    "dev": (250, 2677, 1158, 625, 10.7, 33, 304, 826, 98.4, 82.2),
    "test": (250, 2842, 1143, 597, 11.4, 35, 301, 858, 98.5, 82.5),
}


def counts(cases: list[Case], trained: frozenset[str]) -> tuple[float, ...]:
    """What COUNTS names, of one split."""
    said = [code for case in cases for code in case.codes]
    codes, words = ([*map(len, each)] for each in ((c.codes for c in cases), (c.text.split() for c in cases)))
    known, seen = (100 * sum(map(test, said)) / len(said) for test in (icd10.exists, trained.__contains__))
    ends = (round(np.mean(codes), 1), max(codes), round(np.mean(words)), max(words), round(known, 1), round(seen, 1))
    return len(cases), len(said), len(set(said)), len({code[:3] for code in said}), *map(float, ends)


def main(argv: list[str] | None = None) -> None:
    p = parser(__doc__)
    p.add_argument("--corpus", type=Path, required=True, help="the folder with train, dev and test")
    preparation.shared(p, "codiesp", 2048)
    options = p.parse_args(argv)
    existing(options.corpus, "the corpus", codiesp.LAYOUT)
    out = options.out / "codiesp"
    replaceable(out, manifest.NAME)
    loaded = preparation.started(TASK.key, "codiesp", options, argv)
    kept = loaded.kept
    splits = {split: list(codiesp.cases(options.corpus, split)) for split in codiesp.SPLITS}
    trained = frozenset(code for case in splits["train"] for code in case.codes)
    found = {split: counts(some, trained) for split, some in splits.items()}
    official = {split: each[:4] for split, each in found.items()} == {s: each[:4] for s, each in PUBLISHED.items()}
    kept.facts |= {"releases": {"codiesp": "v4" if official else "unknown"}, "split": {"kind": "published"}}
    for split, values in found.items():
        published = PUBLISHED[split] if official else ()
        named = {f"{split}: {name}": value for name, value in zip(COUNTS, values, strict=True)}
        preparation.compare(named, dict(zip(named, published, strict=False)), kept, "published")

    everybody = [case for some in splits.values() for case in some]
    ids = np.array([manifest.number(case.id) for case in everybody])
    golds = np.array([JOINT.join(case.codes) for case in everybody])
    texts = pa.array([case.text for case in everybody], pa.large_string())
    cohort = rows.Cohort(ids, ids, golds, np.arange(len(ids)), texts, str)
    ends = np.cumsum([len(some) for some in splits.values()])
    parts = dict(zip(splits, np.split(np.arange(len(ids)), ends[:-1]), strict=True))
    kept.facts["labels"] = {name: cohort.counts(part) for name, part in parts.items()}
    more = {"case": pa.array([case.id for case in everybody])}
    more["evidence"] = pa.array([case.evidence for case in everybody], parquet.EVIDENCE)
    extra = sorted({code for case in everybody for code in case.codes if not icd10.exists(code)})
    with preparation.written(out, TASK.source, cohort, parts, loaded, parquet.CODIESP, more) as folder:
        (folder / "codes.txt").write_text("".join(f"{code}\n" for code in extra), encoding="utf-8")
        asked = zip(parquet.read(folder / "train.parquet")["prompt"].to_pylist(), splits["train"], strict=True)
        taught = [{"prompt": prompt, "completion": _said(case)} for prompt, case in asked]
        parquet.write(taught, folder / "sft_evidence.parquet", parquet.SFT)
        kept.facts["sha256"] = {name: sha256(folder / name) for name in ("codes.txt", "sft_evidence.parquet")}
    print(f"{', '.join(f'{len(part):,} {name}' for name, part in parts.items())} rows in {out}")


def _said(case: Case) -> list[dict[str, str]]:
    """What a model is taught to say of a case."""
    reasoning = codiesp.reasoning(case.text, case.codes)
    return [{"role": "assistant", "content": TASK.completion(reasoning, JOINT.join(case.codes))}]


if __name__ == "__main__":
    run(main)
