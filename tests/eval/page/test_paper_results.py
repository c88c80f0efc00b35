"""The papers' paper.yaml against a second transcription of the four tables, typed column by column and not by row."""

import pytest

from common.papers import find, paper_rows, paper_tables

TABLES = {table.id: table for table in paper_tables()}

# Per column the values from the first row of a table to its last.
TABLE_1 = {
    "drg/pass@1": "38.5 20.3 39.2 35.5 30.2 40.1 37.5 38.5 39.8 38.2 40.1 38.1 35.8 40.4 38.7 29.4 39.3 29.3",
    "drg/pass@8": "48.2 41.9 44.8 52.2 47.3 48.0 47.6 51.9 42.4 42.0 49.1 51.3 51.9 46.6 48.2 51.7 49.1 46.1",
    "drg/maj@8": "39.3 38.1 39.6 37.4 33.9 40.6 38.1 39.6 39.9 38.3 40.9 40.0 37.6 40.7 39.4 32.7 40.0 31.2",
    "base/pass@1": "52.5 27.0 52.9 50.9 46.7 53.8 50.9 53.4 53.6 52.2 52.8 52.1 50.3 53.2 52.9 43.4 52.9 43.8",
    "base/pass@8": "58.5 52.5 56.4 59.6 57.0 58.5 57.2 60.5 55.2 54.7 58.1 60.4 59.2 56.5 58.1 58.6 59.2 54.3",
    "base/maj@8": "53.4 50.5 53.3 52.4 50.9 54.3 51.4 54.3 53.7 52.4 53.7 53.8 51.7 53.7 53.4 46.5 53.8 45.5",
    "status/pass@1": "47.8 25.6 48.3 46.3 40.6 49.4 48.8 47.6 49.1 48.8 47.6 48.2 46.6 49.5 48.3 40.8 46.0 43.1",
    "status/pass@8": "60.0 52.6 55.6 66.7 63.0 59.1 60.7 63.6 52.3 53.7 59.0 64.0 65.8 57.2 59.9 68.5 58.6 64.2",
    "status/maj@8": "49.0 48.0 49.0 48.4 45.2 50.3 49.8 49.1 49.3 49.0 48.8 50.7 48.7 50.1 49.3 44.3 47.1 45.7",
}
# 50 % (SFT only, vanilla, best) | 75 % (and best without KL decay, hard removed, easy and hard removed) | 90 % | 95 %
TABLE_2 = {
    "drg/pass@1": "44.6 52.8 53.7 | 46.5 53.5 54.6 54.0 54.4 54.7 | 10.5 54.1 54.6 54.2 54.8 54.5 "
    "| 47.0 53.5 54.4 53.0 54.3 52.9",
    "drg/pass@8": "75.3 64.2 59.1 | 76.2 64.9 60.6 65.3 58.1 58.8 | 41.4 65.2 62.2 66.9 60.3 61.4 "
    "| 76.9 67.7 64.9 69.4 62.8 69.3",
    "drg/maj@8": "50.9 53.9 53.9 | 52.8 54.6 54.9 55.0 54.5 54.8 | 35.7 55.0 54.9 55.4 54.9 54.8 "
    "| 53.3 55.2 55.1 55.1 54.7 54.9",
    "base/pass@1": "58.1 63.9 63.5 | 59.3 64.0 64.4 63.8 63.8 64.5 | 12.4 64.3 64.0 63.9 64.4 64.2 "
    "| 59.7 64.0 64.2 63.2 64.2 63.1",
    "base/pass@8": "77.1 70.9 66.9 | 77.6 71.4 68.2 71.0 66.1 67.1 | 47.1 71.2 68.9 72.1 68.1 68.8 "
    "| 78.5 72.6 70.5 73.5 69.7 73.0",
    "base/maj@8": "63.4 64.9 63.9 | 64.5 65.1 64.8 64.9 64.0 64.8 | 43.6 65.2 64.6 65.2 64.7 64.9 "
    "| 65.0 65.6 65.0 65.1 64.9 65.0",
    "status/pass@1": "51.8 59.0 58.8 | 53.3 59.2 59.6 58.7 59.1 59.5 | 11.7 59.8 59.3 59.3 59.9 59.0 "
    "| 53.9 59.2 59.4 58.4 59.5 58.1",
    "status/pass@8": "80.7 69.6 64.1 | 80.7 69.7 65.3 69.4 62.7 63.5 | 47.0 70.0 66.3 70.8 64.9 65.4 "
    "| 81.0 72.3 69.4 73.4 67.4 73.3",
    "status/maj@8": "58.4 60.2 59.4 | 59.6 60.5 60.2 60.0 59.4 59.9 | 41.6 60.7 60.0 60.8 60.4 59.8 "
    "| 59.9 61.0 60.5 60.8 60.3 60.5",
}
# Instruct Qwen 7B, 32B, Llama | MedReason, Huatuo | GRPO 7B, 32B | SFT Qwen, Llama | SFT + GRPO Qwen, Llama
TABLE_3 = {
    "chapter/recall": "39.0 42.2 14.6 | 15.1 37.2 | 45.6 49.6 | 48.3 51.1 | 55.0 59.1",
    "chapter/precision": "44.8 49.1 43.0 | 43.3 41.9 | 49.6 56.1 | 57.3 61.5 | 61.4 64.6",
    "chapter/f1": "39.4 43.5 17.1 | 17.8 37.6 | 43.9 49.8 | 48.9 52.9 | 54.5 59.5",
    "category/recall": "4.0 12.0 1.2 | 1.9 3.9 | 6.4 15.1 | 13.1 14.6 | 16.1 17.1",
    "category/precision": "4.7 13.4 4.2 | 6.5 4.6 | 6.0 13.9 | 13.0 16.2 | 15.6 18.0",
    "category/f1": "3.4 10.4 1.4 | 2.5 3.3 | 4.9 12.6 | 12.1 14.0 | 14.4 15.6",
    "code/recall": "0.3 1.3 0.1 | 0.1 0.2 | 0.5 1.5 | 4.3 5.1 | 5.6 6.4",
    "code/precision": "0.5 1.4 0.2 | 0.2 0.3 | 0.6 1.4 | 3.6 4.0 | 3.9 4.2",
    "code/f1": "0.2 0.9 0.1 | 0.1 0.2 | 0.4 1.1 | 3.5 3.9 | 3.9 4.3",
}
# Instruct Qwen, Llama | SFT on trace and outcome Qwen, Llama | SFT on the outcome only Qwen, Llama
TABLE_4 = {
    "chapter/f1": "39.0 17.1 | 48.9 52.9 | 19.6 23.9",
    "category/f1": "3.4 1.4 | 12.6 14.0 | 1.1 1.0",
    "code/f1": "0.2 0.1 | 3.5 3.9 | 0.1 0.1",
}
TEXT = {"drg/pass@1": "53.9"}  # DRG-LLaMA-7B, to which DRG-Sapphire compares itself
SECOND = {"table1": TABLE_1, "table2": TABLE_2, "table3": TABLE_3, "table4": TABLE_4, "text": TEXT}


@pytest.mark.parametrize("id", SECOND)
def test_every_number_of_a_table_stands_in_both_transcriptions(id):
    assert {name: [row.values[name] for row in TABLES[id].rows] for name in TABLES[id].columns} == {
        name: [float(word) for word in column.replace("|", "").split()] for name, column in SECOND[id].items()
    }


def test_the_four_tables_have_468_numbers_and_the_text_one():
    numbers = sum(len(row.values) for table in TABLES.values() for row in table.rows)
    assert numbers == 18 * 9 + 21 * 9 + 11 * 9 + 6 * 3 + 1


def test_drg_llamas_own_number_stands_beside_the_one_that_drg_sapphire_prints():
    (row,) = TABLES["text"].rows
    assert row.values == {"drg/pass@1": 53.9} and row.name == "DRG-LLaMA-7B (52.0 at 512 tokens in its own abstract)"


def test_every_share_of_table_2_has_its_own_rows():
    shares = [row.sft for row in TABLES["table2"].rows]
    assert shares == [50] * 3 + [75] * 6 + [90] * 6 + [95] * 6


def test_what_the_tables_print_differently_stays_so():
    third, fourth = ({row.id.partition("/")[2]: row.values for row in TABLES[id].rows} for id in ("table3", "table4"))
    assert (third["qwen7b"]["chapter/f1"], fourth["qwen7b"]["chapter/f1"]) == (39.4, 39.0)
    assert (third["qwen7b_sft"]["category/f1"], fourth["qwen7b_sft_trace"]["category/f1"]) == (12.1, 12.6)


def test_no_two_rows_are_the_same_run():
    rows = [row for table in TABLES.values() for row in table.rows]
    assert len({row.id for row in rows}) == len(rows)
    trained = [(row.recipe, *row.options) for row in rows if row.recipe]
    assert len(set(trained)) == len(trained)


def test_every_row_is_made_by_the_recipe_that_the_recipes_own_list_names():
    known = paper_rows()
    for table in TABLES.values():
        for row in table.rows:
            made = known[f"{table.folder}/{row.same or row.id}"]
            assert row.recipe in (made.recipe, None) and (row.recipe or made.stages or not made.recipe), row.id
            assert set(row.options) <= set(made.options), row.id


@pytest.mark.parametrize(
    ("recipe", "overrides", "id"),
    [
        ("drg_sapphire/strict", ["hardware=h100x4"], "table1/strict"),
        ("drg_sapphire/dense", [], "table1/vanilla"),
        ("drg_sapphire/dense", ["sft_share=90"], "table2/90/vanilla"),
        ("drg_sapphire/dense", ["sft_share=90", "name=again", "sft_share=75"], "table2/75/vanilla"),
        ("drg_sapphire/dense", ["sft_share=33"], None),
        ("drg_sapphire/dense", ["study.sft=cold_lr_1e-5"], None),
        ("drg_sapphire/unknown", [], None),
        ("deepicd_r1/sft_grpo", ["model=llama-3.1-8b-instruct"], "table3/llama8b_sft_grpo"),
        ("deepicd_r1/sft_grpo", ["model=qwen2.5-7b-instruct"], "table3/qwen7b_sft_grpo"),
    ],
)
def test_a_run_is_the_row_of_its_recipe_share_and_model(recipe, overrides, id):
    found = find(recipe, overrides)
    assert (found and found.id) == id
