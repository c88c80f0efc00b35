"""The 28 questions by which DRG-Sapphire teaches the titles: all 757, each of the 25 MDCs, and those in no MDC.

python -m sft.titles    # prints them
"""

from common.commands import parser, run
from common.files import beside
from reward_fns.drg import ms_drg
from sft.tracing import requests
from sft.tracing.requests import Example

MDCS: dict[str, str] = beside(__file__)  # titles.yaml
BEFORE = "018"  # pre-MDC groups (transplants, tracheostomies) have lower numbers


def questions() -> list[Example]:
    """Question and list of titles, one a line, in the order of the numbers."""
    every, homeless = ms_drg.DRGS, [drg for drg in ms_drg.DRGS if not drg.mdc]
    groups = {
        "of all groups": every,
        **{f"of MDC {mdc}, {name}": [drg for drg in every if drg.mdc == mdc] for mdc, name in MDCS.items()},
        "that come before the MDCs": [drg for drg in homeless if drg.number < BEFORE],
        "that belong to no MDC or cannot be grouped": [drg for drg in homeless if drg.number >= BEFORE],
    }
    text = requests.text("titles")
    asked = [[{"role": "user", "content": text.replace("{groups}", named)}] for named in groups]
    listed = ["\n".join(drg.title for drg in drgs) for drgs in groups.values()]
    return list(map(Example, asked, listed))


def main(argv: list[str] | None = None) -> None:
    parser(__doc__, "python -m sft.titles").parse_args(argv)
    for example in questions():
        print(f"{example.prompt[0]['content']}\n{example.completion}\n")


if __name__ == "__main__":
    run(main)
