"""MIMIC-IV to the DRG-LLaMA cohort and DRG-Sapphire's samples, as parquet for verl and for SFT.

    python -m data_prep.drg --hosp MIMIC/hosp --note MIMIC/note --out data
    python -m data_prep.drg --texts notes.csv --labels drgs.csv --out data    # a hospital's own, as they stand

OUT/drg/test.parquet, test_small.parquet, {rl,sft}/{cold,small,small_P,full_P}.parquet (P = SFT share in %),
descriptions.csv (how each MS-DRG description was read, the unread ones first, in the form of --drg-map) and
manifest.json. All parquet files share one schema (data_prep.parquet); SFT joins the completions from traces by hadm_id.
"""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.commands import UserError, run
from data_prep.cohort import drg_cohort, drg_titles, sections, splits
from data_prep.writing import manifest, preparation

MIN_SAMPLE_CASES = 5  # of a title, in the training rows, for the sub-samples
MIN_SHARE_CASES = 2  # of a title, for the SFT and RL parts of a published split
SHARES = {"train": 90, "test": 10}
COLD_SHARE, SMALL_SHARE = 0.01, 0.2
SFT_SHARES = (50, 75, 90, 95)
TEST_SMALL = 500
# What the papers count, and on which releases.
PAPER_RELEASES = {"hosp": "2.0", "note": "Note 2.2"}
PAPER = {"train": 236_192, "test": 26_244, "titles": 738, "cold": 2_362, "small": 46_758}


def samples(
    labels: np.ndarray,
    train: splits.Rows,
    test: splits.Rows,
    small_shares: list[int],
    kept: manifest.Manifest,
    fewest: int = 1,
) -> dict[str, splits.Rows]:
    """Row numbers of every file: test sets, cold start, DRG-Small, and the SFT and RL parts by SFT share.

    Labels are numbers in the order of the titles as text, in which the authors' program draws. A title with fewer than
    `fewest` rows is in neither of an SFT and an RL part.
    """
    files = {"test": test, "test_small": test}
    if len(test) > TEST_SMALL:
        order = np.random.RandomState(splits.SEED).permutation(len(test))
        files["test_small"] = test[np.sort(order[:TEST_SMALL])]
    eligible = splits.frequent(train, labels, MIN_SAMPLE_CASES)
    kept.step("sub-samples", len(train), len(eligible), f"title with fewer than {MIN_SAMPLE_CASES} training cases")
    if not len(eligible):
        kept.say(f"no title has {MIN_SAMPLE_CASES} training cases; the sub-samples are drawn from all training rows")
        eligible = train
    cold = splits.draw(eligible, labels, COLD_SHARE)
    small = splits.draw(cold.rest, labels, SMALL_SHARE)
    for name, part in (("cold", cold), ("small", small)):
        kept.say(f"{name}: {part.said}" if part.said else "")
        files[f"sft/{name}"] = files[f"rl/{name}"] = part.drawn
    for name, chosen, shares in (("small", small.drawn, small_shares), ("full", train, SFT_SHARES)):
        divided = splits.frequent(chosen, labels, fewest)
        if fewest > 1:
            kept.step(f"{name} by SFT share", len(chosen), len(divided), f"title with fewer than {fewest} cases of it")
        for share in shares:
            sft = splits.draw(divided, labels, share / 100)
            kept.say(f"{name}_{share}: {sft.said}" if sft.said else "")
            if len(sft.drawn) and len(sft.rest):
                files[f"sft/{name}_{share}"], files[f"rl/{name}_{share}"] = sft.drawn, sft.rest
    return files


def unlike_the_authors(releases: dict[str, str], own: bool) -> Iterator[str]:
    """Why a published split is not the authors' own cohort."""
    if releases != PAPER_RELEASES:
        theirs, ours = (f"hosp {each['hosp']} and note {each['note']}" for each in (PAPER_RELEASES, releases))
        yield f"the published cohort was made of {theirs}; this is {ours}"
    if not own:
        yield "the published cohort used a mapping of its authors; without --drg-map the matcher takes its place"


def parse(argv: list[str] | None) -> Namespace:
    p = preparation.flags(__doc__, "drg", 4096)
    p.add_argument(
        "--split", choices=splits.SPLITS, default="stable",
        help="published: the authors' rows, by admission; stable (default): the same rule, any sort; patient: no "
        "patient on both sides",
    )  # fmt: skip
    p.add_argument(
        "--drg-map", type=Path, metavar="CSV",
        help="raw_description,DRG_34_description: goes before the matcher, and with --split published in its place; an "
        "empty title drops the rows",
    )  # fmt: skip
    p.add_argument(
        "--sections", choices=sections.RULES,
        help="where a hospital course ends: at the first heading after it (fixed, the default), or where the authors' "
        "program ends it (published, the only choice with --split published); lenient is fixed and also finds courses "
        "under headings in other spellings",
    )  # fmt: skip
    p.add_argument(
        "--small-shares", type=int, nargs="+", default=list(SFT_SHARES), metavar="P",
        help=f"SFT shares of the splits of DRG-Small, in %% (default {' '.join(map(str, SFT_SHARES))})",
    )  # fmt: skip
    options = p.parse_args(argv)
    for share in options.small_shares:
        if not 1 <= share <= 99:
            raise UserError(f"--small-shares {share} is no share in %; give whole numbers from 1 to 99")
    options.sections = options.sections or ("published" if options.split == "published" else "fixed")
    if options.split == "published" and options.texts:
        raise UserError("--split published is a choice of MIMIC-IV's rows; take --split stable or patient for --texts")
    if options.split == "published" and options.sections != "published":
        raise UserError("--split published needs --sections published: the authors' cohort has no other notes")
    return options


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    loaded = preparation.load("drg", options, argv)
    kept = loaded.kept
    own = drg_titles.read_map(options.drg_map)
    titles = drg_titles.Titles(own, matcher=options.split != "published" or options.drg_map is None)
    if options.texts:
        cases = drg_cohort.own(options.texts, options.labels, titles, kept)
    else:
        cases = drg_cohort.cohort(options.hosp, options.note, options.sections, titles, kept)
    if options.split == "published":
        for sentence in unlike_the_authors(kept.facts["releases"], bool(options.drg_map)):
            kept.say(sentence)
    parts = preparation.divided(splits.SPLITS[options.split], cases, SHARES, options.texts or options.note, kept)
    train, test = parts.values()
    numbers, at = np.unique(cases.label, return_inverse=True)
    by_title = np.argsort(np.argsort([cases.gold(number) for number in numbers.tolist()]))[at]
    fewest = MIN_SHARE_CASES if options.split == "published" else 1
    files = samples(by_title, train, test, sorted(set(options.small_shares)), kept, fewest)
    test_share = SHARES["test"] / sum(SHARES.values())
    kept.facts["split"] = {"kind": options.split, "seed": splits.SEED, "test_share": test_share}
    counts = {"train": len(train), "test": len(test), "titles": len(np.unique(cases.label))}
    counts |= {name: len(files[f"rl/{name}"]) for name in ("cold", "small")}
    preparation.compare(counts, PAPER, kept)
    with preparation.written(options.out / "drg", "mimic_drg", cases, files, loaded) as folder:
        titles.write_review(folder / drg_cohort.REVIEW)
    preparation.say_where(options.out / "drg", {"training": len(train), "test": len(test)}, kept)


if __name__ == "__main__":
    run(main)
