"""The index of all rows of the papers, as recipes/README.md shows it.

python -m benchmarks.index        # prints the table; `--write` puts it into recipes/README.md
"""

from collections.abc import Iterator

from common.commands import parser, run
from common.files import whole_file
from common.papers import RECIPES, Paper, Row, papers
from recipes.launcher.compose import OWN, recipes
from recipes.sizing.costs import cost

README = RECIPES / "README.md"
BEGIN, END = "<!-- index: python -m benchmarks.index --write -->\n", "<!-- end of index -->\n"


def paper_numbers(paper: Paper) -> dict[str, str]:
    """What the paper prints, by row id."""
    rows = (row for table in paper.tables for row in table.rows)
    shown = paper.index.values()
    printed = {row.id: [row.values[name] for name in shown if name in row.values] for row in rows}
    return {f"{paper.folder}/{id}": " / ".join(f"{value:.1f}" for value in values) for id, values in printed.items()}


def file_of(row: Row) -> str:
    """The file that says what is special about the row."""
    if row.recipe:
        return f"{row.recipe}.yaml"
    return f"{row.paper}/sft/{row.sft}.yaml" if row.sft else f"{row.paper}/eval/{row.eval}.yaml"


def predicted_of(row: Row) -> str:
    """What recipes.memory says of the row, as cells."""
    found = cost(row)
    gpus = f"{found.gpus}{' + 1' if found.judge else ''} x 80 GB"
    step = f"{found.seconds:.0f}" if found.seconds else ""
    hours = f"{'at most ' if found.most else ''}{found.hours:,.0f}" if found.hours else ""
    return f"{gpus} | {found.largest.bytes / 1e9:.0f} | {step} | {hours}"


def lines() -> Iterator[str]:
    """The table of each paper."""
    for paper in papers().values():
        numbers = paper_numbers(paper)
        ours = "not run" if numbers else f"[results]({paper.folder}/README.md#results)"
        yield f"### {paper.title}\n"
        predicted = "GPUs | GB a GPU | s a step | GPU hours"
        printed = ", ".join(filter(None, ("paper", " / ".join(paper.index))))
        yield f"| row | file | command | {predicted} | {printed} | ours |"
        yield "|---|---|---|---|---|---|---|---|---|"
        for row in paper.rows.values():
            short = row.id.removeprefix(f"{paper.folder}/")
            number = numbers.get(row.id, "only a figure" if "figure" in row.id else "not printed")
            command = f"`bash recipes/{paper.folder}/reproduce.sh {short}`"
            yield f"| {short} | `{file_of(row)}` | {command} | {predicted_of(row)} | {number} | {ours} |"
        yield ""
    yield from beyond({row.recipe for paper in papers().values() for row in paper.rows.values()})


def beyond(rows: set[str | None]) -> Iterator[str]:
    """The table of recipes that are no paper's row, and not the user's."""
    yield "### Beyond the papers\n"
    yield "| file | command | GPUs | GB a GPU | s a step | GPU hours | ours |"
    yield "|---|---|---|---|---|---|---|"
    for recipe in recipes():
        if recipe not in rows and not recipe.startswith(f"{OWN}/"):
            row = Row(recipe, recipe.partition("/")[0], recipe)
            command = f"[`bash recipes/launch.sh {recipe}`]({row.paper}/README.md)"
            yield f"| `{file_of(row)}` | {command} | {predicted_of(row)} | not run |"
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
