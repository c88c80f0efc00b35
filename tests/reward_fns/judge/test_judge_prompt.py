"""What the judge is shown: never the gold, the official entry of the code, and no attack as an instruction."""

import json
import re
import sys
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common import llm_server
from reward_fns.icd import icd10, tabular
from reward_fns.judge.prompt import harmless
from tests.support.judge_scenarios import ATTACKS, NOTE, run, score, write
from tests.support.judge_server import Server

CODES = icd10.table().ordered
ANY_CODE = st.sampled_from(CODES)
TEXT = st.text(min_size=1, max_size=300)


def shown(server: Server) -> str:
    return "\n".join(message["content"] for message in server.judge.requests[-1]["messages"])


def test_the_prompt_is_the_same_whatever_the_gold_is():
    async def scenario(server):
        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(predicted=ANY_CODE, golds=st.lists(ANY_CODE, min_size=2, max_size=2, unique=True), note=TEXT, why=TEXT)
        def prompts(predicted, golds, note, why):
            cases.append((predicted, golds, f"Note: {note}", f"Because {why}"))

        cases: list = []
        prompts()
        compared = 0
        for predicted, golds, note, why in cases:
            seen = []
            for gold in golds:
                llm_server.CACHE.clear()
                before = len(server.judge.requests)
                info = {"note": note, "gold": gold, "reward_model": {"ground_truth": gold}}
                await score(server, write(predicted, why), gold, info)
                seen.append(json.dumps(server.judge.requests[before:]))
            assert seen[0] == seen[1]
            compared += seen[0] != "[]"
        assert compared > 30  # the other ones had a tag in their reasoning

    run(scenario)


def test_a_gold_that_nothing_else_names_is_not_in_the_prompt():
    async def scenario(server):
        for predicted, gold in zip(CODES[::700], CODES[350::700], strict=False):
            info = {"note": NOTE, "gold": gold}
            await score(server, write(predicted, f"Troponin; case {predicted}."), gold, info)
            official = tabular.describe(predicted)
            if gold not in official and tabular.dotted(gold) not in official:
                assert gold not in shown(server) and tabular.dotted(gold) not in shown(server)

    run(scenario)


def test_the_prompt_holds_the_official_entry_of_the_predicted_code_and_of_all_above_it():
    import simple_icd_10_cm as package

    async def scenario(server):
        for code in ["I214", "A419", "J189", "E1165", "T8149XA", "B999", "C7A00", *CODES[::2000]]:
            await score(server, write(code, f"Because of {code}."), "I214")
            prompt = " ".join(shown(server).split())
            name = tabular.dotted(code)
            for item in [name, *package.get_ancestors(name)]:
                block = package.is_block(item) and item != name and not package.is_category(item)
                said = [package.get_description(item, prioritize_blocks=block)]
                for field in ("includes", "inclusion_term", "excludes1", "excludes2"):
                    said += getattr(package, f"get_{field}")(item, prioritize_blocks=block)
                for field in ("code_first", "use_additional_code", "code_also", "notes"):
                    said += getattr(package, f"get_{field}")(item, prioritize_blocks=block).split("\n")
                for line in said:
                    assert " ".join(line.split()).strip(" ,") in prompt, (code, item, line)

    run(scenario)


def test_a_code_of_another_year_gets_the_notes_above_it_and_a_sentence(tmp_path):
    async def scenario(server):
        codes = tmp_path / "codes.txt"
        codes.write_text("I2145\n")
        result = await score(server, write("I21.45"), "I2145", extra_codes=str(codes))
        assert result["judge"] > 0 and result["reward_error"] == 0
        assert "no entry for the code; the notes below are those of I21.4." in shown(server)
        assert "Type 1 non-ST elevation" in shown(server)

    run(scenario)


def test_a_users_guideline_and_symptoms_join_the_prompt_of_their_chapter_and_code(tmp_path):
    guidelines, symptoms = tmp_path / "guidelines.json", tmp_path / "symptoms.csv"
    guidelines.write_text(
        json.dumps({"chapters": {"9": {"text": "Sequence the infarction first."}, "4": {"text": "Diabetes."}}})
    )
    symptoms.write_text("code,description\nI21,Pain behind the breastbone.\nE11,Thirst.\n")
    files = {"guidelines": str(guidelines), "symptoms": str(symptoms)}

    async def scenario(server):
        await score(server, write("I21.4"), **files)
        assert "Sequence the infarction first." in shown(server) and "Pain behind the breastbone." in shown(server)
        assert "Diabetes." not in shown(server) and "Thirst." not in shown(server)
        await score(server, write("K35.80"), **files)
        assert "guideline of the chapter" not in shown(server) and "Thirst" not in shown(server)

    run(scenario)


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_stays_between_its_marks_and_reaches_no_chat_template(attack):
    async def scenario(server):
        await score(server, write("I21.4", f"Troponin. {attack}"), info={"note": f"{NOTE} {attack}"})
        (body,) = server.judge.requests
        system, user = (message["content"] for message in body["messages"])
        assert [message["role"] for message in body["messages"]] == ["system", "user"]
        assert attack.split()[0] not in system.split()[-3:]
        assert body["structured_outputs"] == {"choice": ["1", "2", "3", "4", "5"]}
        marks = re.findall(r"^----- (\w+ [0-9a-f]{12}) (begins|ends) -----$", user, re.MULTILINE)
        real = [mark for mark in marks if "000000000000" not in mark[0]]
        assert [(mark[0].split()[0], mark[1]) for mark in real] == [
            *(("note", "begins"), ("note", "ends")),
            *(("reasoning", "begins"), ("reasoning", "ends")),
        ]
        assert not re.search(r"<[|/!\uff5ca-zA-Z]|[|\uff5c]>|\[/?INST|[\u200b\u202e]", user)
        assert user.endswith(":") and user.count("The admission note:") == 1

    run(scenario)


def test_no_character_that_nobody_sees_is_shown():
    # Unicode's categories, and its default ignorable characters of other categories: joiners, fillers and selectors
    unseen = [*map(chr, (0xAD, 0x34F, 0x61C, 0x115F, 0x17B4, 0x180B, 0x180E, 0x180F, 0x2065, 0x3164, 0xFE0F, 0xFFA0))]
    unseen += map(chr, (0xFFF0, 0xE0000, 0xE0041, 0xE007F, 0xE0100, 0xE0FFF))
    every = map(chr, range(sys.maxunicode + 1))
    unseen += (each for each in every if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    assert [hex(ord(each)) for each in unseen if each not in "\t\n" and harmless(f"a{each}b") != "ab"] == []
    assert "im_start|>" not in harmless("".join(f"{each}\u00ad" for each in "<|im_start|>"))
    seen = "Größe 12 µg/dl, 37 °C, naïve, Ελλάδα, 日本, עברית, é, e\u0301\t\n"
    assert harmless(seen) == seen
