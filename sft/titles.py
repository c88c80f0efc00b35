"""The 28 questions by which DRG-Sapphire teaches the titles: all 757, each of the 25 MDCs, and those in no MDC.

python -m sft.titles    # prints them
"""

from typing import TYPE_CHECKING

from common.commands import parser, run
from reward_fns.drg import ms_drg
from sft.tracing import requests

if TYPE_CHECKING:
    from sft.training.examples import Example

MDCS = {
    "01": "the nervous system",
    "02": "the eye",
    "03": "the ear, nose, mouth and throat",
    "04": "the respiratory system",
    "05": "the circulatory system",
    "06": "the digestive system",
    "07": "the hepatobiliary system and pancreas",
    "08": "the musculoskeletal system and connective tissue",
    "09": "the skin, subcutaneous tissue and breast",
    "10": "endocrine, nutritional and metabolic diseases",
    "11": "the kidney and urinary tract",
    "12": "the male reproductive system",
    "13": "the female reproductive system",
    "14": "pregnancy, childbirth and the puerperium",
    "15": "newborns with conditions of the perinatal period",
    "16": "the blood, blood-forming organs and immune disorders",
    "17": "myeloproliferative diseases and poorly differentiated neoplasms",
    "18": "infectious and parasitic diseases",
    "19": "mental diseases and disorders",
    "20": "alcohol and drug use",
    "21": "injuries, poisonings and toxic effects of drugs",
    "22": "burns",
    "23": "factors influencing health status",
    "24": "multiple significant trauma",
    "25": "HIV infections",
}
BEFORE = "018"  # pre-MDC groups (transplants, tracheostomies) have lower numbers


def questions() -> list["Example"]:
    """Question and list of titles, one a line, in the order of the numbers."""
    from sft.training.examples import Example

    groups = {"of all groups": ms_drg.DRGS}
    groups |= {f"of MDC {mdc}, {name}": _where(lambda drg, mdc=mdc: drg.mdc == mdc) for mdc, name in MDCS.items()}
    groups["that come before the MDCs"] = _where(lambda drg: not drg.mdc and drg.number < BEFORE)
    groups["that belong to no MDC or cannot be grouped"] = _where(lambda drg: not drg.mdc and drg.number >= BEFORE)
    text = requests.text("titles")
    return [
        Example(
            [{"role": "user", "content": text.replace("{groups}", groups_named)}], "\n".join(drg.title for drg in drgs)
        )
        for groups_named, drgs in groups.items()
    ]


def _where(keep) -> tuple[ms_drg.Drg, ...]:
    return tuple(drg for drg in ms_drg.DRGS if keep(drg))


def main(argv: list[str] | None = None) -> None:
    parser(__doc__, "python -m sft.titles").parse_args(argv)
    for example in questions():
        print(f"{example.prompt[0]['content']}\n{example.completion}\n")


if __name__ == "__main__":
    run(main)
