"""The index of all rows of the papers, as recipes/README.md shows it.

python -m benchmarks.index        # prints the table; `--write` puts it into recipes/README.md
"""

from collections.abc import Iterator

from common.commands import parser, run
from common.files import whole_file
from common.papers import RECIPES, Paper, Row, papers
from recipes.launcher.stages import hardware_of

README = RECIPES / "README.md"
BEGIN, END = "<!-- index: python -m benchmarks.index --write -->\n", "<!-- end of index -->\n"
HARDWARE = {None: "4 x 80 GB", "h100x1": "1 x 80 GB", "h100x8": "8 x 80 GB", "h100x8x2": "2 x 8 x 80 GB"}


def paper_numbers(paper: Paper) -> dict[str, str]:
    """What the paper prints, by row id."""
    rows = (row for table in paper.tables for row in table.rows)
    shown = paper.index.values()
    return {f"{paper.folder}/{row.id}": " / ".join(f"{row.values[name]:.1f}" for name in shown) for row in rows}


def file_of(row: Row) -> str:
    """The file that says what is special about the row."""
    if row.recipe:
        return f"{row.recipe}.yaml"
    return f"{row.paper}/sft/{row.sft}.yaml" if row.sft else f"{row.paper}/eval/{row.eval}.yaml"


def lines() -> Iterator[str]:
    """The table of each paper."""
    for paper in papers().values():
        numbers = paper_numbers(paper)
        yield f"### {paper.title}\n"
        printed = ", ".join(filter(None, ("paper", " / ".join(paper.index))))
        yield f"| row | file | command | GPUs | {printed} | ours |"
        yield "|---|---|---|---|---|---|"
        for row in paper.rows.values():
            short = row.id.removeprefix(f"{paper.folder}/")
            gpus = HARDWARE[hardware_of(row.options)] if row.recipe or row.sft else "1 x 80 GB"
            number = numbers.get(row.id, "only a figure" if "figure" in row.id else "not printed")
            command = f"`bash recipes/{paper.folder}/reproduce.sh {short}`"
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
