"""The index of all rows of the papers, as recipes/README.md shows it.

python -m benchmarks.index        # prints the table; `--write` puts it into recipes/README.md
"""

from collections.abc import Iterator

from common.commands import parser, run
from common.files import whole_file
from eval.page.paper_results import paper_tables
from recipes.launcher.compose import RECIPES
from recipes.launcher.paper_check import Row, paper_rows
from recipes.launcher.stages import hardware_of

README = RECIPES / "README.md"
BEGIN, END = "<!-- index: python -m benchmarks.index --write -->\n", "<!-- end of index -->\n"
PAPERS = {"drg_sapphire": "DRG-Sapphire", "deepicd_r1": "DeepICD-R1"}
SHOWN = {  # which of the paper's numbers
    "drg": ("Pass@1 / Pass@8 / Maj@8", ("drg/pass@1", "drg/pass@8", "drg/maj@8")),
    "icd": ("F1 chapter / category / code", ("chapter/f1", "category/f1", "code/f1")),
}
HARDWARE = {None: "4 x 80 GB", "h100x1": "1 x 80 GB", "h100x8": "8 x 80 GB", "h100x8x2": "2 x 8 x 80 GB"}


def paper_numbers() -> dict[str, str]:
    """What the paper prints, by row id."""
    found = {}
    for table in paper_tables():
        paper = {"drg": "drg_sapphire", "icd": "deepicd_r1"}[table.task]
        for row in table.rows:
            found[f"{paper}/{row.id}"] = " / ".join(f"{row.values[name]:.1f}" for name in SHOWN[table.task][1])
    return found


def file_of(row: Row) -> str:
    """The file that says what is special about the row."""
    if row.recipe:
        return f"{row.recipe}.yaml"
    return f"{row.paper}/sft/{row.sft}.yaml" if row.sft else f"{row.paper}/eval/{row.eval}.yaml"


def lines() -> Iterator[str]:
    """The table of each paper."""
    numbers = paper_numbers()
    for paper, name in PAPERS.items():
        heading = SHOWN["drg" if paper == "drg_sapphire" else "icd"][0]
        yield f"### {name}\n"
        yield f"| row | file | command | GPUs | paper, {heading} | ours |"
        yield "|---|---|---|---|---|---|"
        for row in paper_rows().values():
            if row.paper == paper:
                short = row.id.removeprefix(f"{paper}/")
                gpus = HARDWARE[hardware_of(row.options)] if row.recipe or row.sft else "1 x 80 GB"
                number = numbers.get(row.id, "only a figure" if "figure" in row.id else "not printed")
                command = f"`bash recipes/{paper}/reproduce.sh {short}`"
                yield f"| {short} | `{file_of(row)}` | {command} | {gpus} | {number} | not run |"
        yield ""


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__ or "", "python -m benchmarks.index --write")
    arguments.add_argument("--write", action="store_true", help="put the table into recipes/README.md")
    given = arguments.parse_args(argv)
    table = "\n".join(lines())
    if not given.write:
        print(table)
        return
    text = README.read_text(encoding="utf-8")
    before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
    with whole_file(README) as file:
        file.write_text(f"{text[:before]}{table}{text[after:]}", encoding="utf-8")


if __name__ == "__main__":
    run(main)
