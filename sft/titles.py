"""The 28 questions by which DRG-Sapphire teaches the titles: all 757, each of the 25 MDCs, and those in no MDC.

python -m sft.titles    # prints them
"""

from typing import TYPE_CHECKING

from common.commands import parser, run
from common.files import beside
from reward_fns.drg import ms_drg
from sft.tracing import requests

if TYPE_CHECKING:
    from sft.training.examples import Example

MDCS: dict[str, str] = beside(__file__)  # titles.yaml
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
