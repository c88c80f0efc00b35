"""A corpus in the layout of CodiEsp, of cases that were made up for the tests."""

from pathlib import Path

Case = tuple[str, str, list[tuple[str, str]]]

# id, text, and the codes as that corpus writes them, each with its evidence
CASES: dict[str, list[Case]] = {
    "train": [
        (
            "S0000-01",
            "A 70-year-old man came with chest pain.\nThe electrocardiogram showed an acute myocardial infarction. "
            "He has had type 2 diabetes for ten years.",
            [("i21.9", "infarto"), ("e11.9", "diabetes"), ("r07.9", "dolor")],
        ),
        ("S0000-02", "She fell at home and broke nothing. Fever was noted.", [("w19.xxx", "cae"), ("r50.9", "fiebre")]),
    ],
    "dev": [("S0000-03", "Fever of unknown origin in a woman of 40.", [("r50.9", "fiebre")])],
    "test": [
        ("S0000-04", "A man with fever and type 2 diabetes.", [("e11.9", "diabetes"), ("r50.9", "fiebre")]),
        ("S0000-05", "Chest pain after a fall.", [("r07.9", "dolor"), ("w19.xxx", "cae")]),
    ],
}


def write_corpus(folder: Path, cases: dict[str, list[Case]] = CASES) -> Path:
    """The folder with its three splits."""
    for split, some in cases.items():
        texts = folder / split / "text_files_en"
        texts.mkdir(parents=True)
        rows, evidence = [], []
        for case, text, codes in some:
            (texts / f"{case}.txt").write_text(text, encoding="utf-8")
            rows += [f"{case}\t{code}\n" for code, _ in codes]
            evidence += [f"{case}\tDIAGNOSTICO\t{code}\t{said}\t10 16;20 24\n" for code, said in codes]
            evidence.append(f"{case}\tPROCEDIMIENTO\tbw03zzz\tradiograf\u00eda\t1 3\n")
        (folder / split / f"{split}D.tsv").write_text("".join(rows), encoding="utf-8")
        (folder / split / f"{split}X.tsv").write_text("".join(evidence), encoding="utf-8")
    return folder
