"""paper.yaml: what is wrong in one is a sentence with the file, the row and the key."""

import shutil
from pathlib import Path

import pytest

from common.commands import UserError
from common.papers import RECIPES, papers, read


def test_papers_come_in_the_order_of_their_titles_with_their_task_and_split() -> None:
    found = [(paper.folder, paper.task, paper.split) for paper in papers().values()]
    published = [("drg_sapphire", "drg", "published"), ("deepicd_r1", "icd", "stratified")]
    assert found == [("codiesp", "codiesp", None), *published]


# text in DRG-Sapphire's paper.yaml, what stands in its place, what the sentence says after the file
FAULTS = [
    ("split: published", "splot: published", "there is no key splot, did you mean split?"),
    ("split: published\n", "", "lacks the key split"),
    ("    source: Table 1\n", "    sauce: Table 1\n", "table1: there is no key sauce, did you mean source?"),
    ("run: no KL,", "ron: no KL,", "table1/no_kl: there is no key ron, did you mean run?"),
    ("recipe: no_kl,", "recipe: no_kr,", "table1/no_kl needs recipes/drg_sapphire/no_kr.yaml, which does not exist"),
    ("sft: differential,", "sft: different,", "needs recipes/drg_sapphire/sft/different.yaml, which does not exist"),
    (
        "run: no KL, recipe: no_kl,",
        "run: no KL, eval: cool, recipe: no_kl,",
        "needs recipes/drg_sapphire/eval/cool.yaml",
    ),
    ("{<<: *sft_50, run: SFT only,", "{run: SFT only,", "table2/50/sft names no recipe, no sft and no start"),
    ("      no_kl: ", "      strict: ", "found duplicate key strict"),
    ("[39.8, 42.4, ", "[42.4, ", "table1/no_kl: printed has 8 numbers for 9 columns"),
    (
        "after: table2/75/best}",
        "after: table2/75/beast}",
        "_remove_hard needs table2/75/beast, which is no row",
    ),
    ("      no_kl: {", "      no_kl: [", "is no YAML"),
    ("tables:\n", "tables: [1, 2]\nshared:\n", "duplicate key shared"),
    ("usual: {sft_share: cold, model: qwen2.5-7b-instruct}\n", "usual: {}\nfixed: [1]\n", "duplicate key fixed"),
]


@pytest.mark.parametrize(("text", "fault", "said"), FAULTS, ids=lambda value: str(value)[:40])
def test_a_fault_is_named(tmp_path: Path, text: str, fault: str, said: str) -> None:
    folder = tmp_path / "recipes" / "drg_sapphire"
    shutil.copytree(RECIPES / "drg_sapphire", folder)
    before = (folder / "paper.yaml").read_text()
    assert text in before
    (folder / "paper.yaml").write_text(before.replace(text, fault, 1))
    with pytest.raises(UserError) as error:
        read(folder / "paper.yaml")
    assert str(error.value).startswith(str(folder / "paper.yaml")) and said in str(error.value), error.value
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lacks the key fixed"),
        ("- a list\n", "holds no keys"),
        ("{paper: x, task: y, split: z, fixed: {}, tables: [1]}", "is not built as recipes/README.md says"),
        ("{paper: x, task: y, split: z, fixed: {}, tables: {a: [1]}}", "is not built as recipes/README.md says"),
        (
            "{paper: x, task: y, split: z, fixed: {}, tables: {a: {source: b}}}",
            "is not built as recipes/README.md says",
        ),
    ],
)
def test_another_shape_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "paper.yaml").write_text(text)
    with pytest.raises(UserError, match=rf"paper.yaml {said}"):
        read(tmp_path / "paper.yaml")
