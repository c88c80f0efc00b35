"""What the synthetic patients can have, from vocabulary.yaml: families of MS-DRGs, comorbidities, background."""

from dataclasses import dataclass, field

from common.files import beside

MCC, CC, NEITHER = "an MCC", "a CC", "neither"


@dataclass(frozen=True)
class Family:
    """A base DRG: the number of its first title, its status wordings, its conditions, and exceptions in its titles.

    `rare` conditions have about one case in a data set, whatever its size.
    """

    base: str
    number: int
    statuses: dict[str, str]
    conditions: dict[str, str]
    irregular: dict[str, str] = field(default_factory=dict)
    female: bool = False
    rare: dict[str, str] = field(default_factory=dict)

    def title(self, severity: str) -> str:
        """The MS-DRG v34 title, with CMS's own irregularities."""
        title = f"{self.base} {self.statuses[severity]}".strip()
        return self.irregular.get(title, title)

    def titles(self) -> list[str]:
        """The titles of the family, most severe first."""
        return list(dict.fromkeys(self.title(severity) for severity in (MCC, CC, NEITHER)))

    def code(self, condition: str) -> str:
        """The ICD-10-CM code of a condition, without dot."""
        return (self.conditions | self.rare)[condition].replace(".", "")

    def drg_number(self, severity: str) -> int:
        """The MS-DRG number of the title."""
        return self.number + self.titles().index(self.title(severity))


_WORDS = beside(__file__)
COMORBIDITIES: dict[str, dict[str, str]] = _WORDS["comorbidities"]
BACKGROUND: dict[str, str] = _WORDS["background"]
ICD9: dict[str, list[str]] = _WORDS["icd9"]
FAMILIES = tuple(Family(**family) for family in _WORDS["families"])
