"""What the synthetic patients can have: the form of a family of MS-DRGs, comorbidities that set the status, background.

A condition is a phrase, as the note words it, and the ICD-10-CM code (dotted) that a coder would give it. No phrase of
a principal condition is also a comorbidity, so a reader that finds both knows the title.
"""

from dataclasses import dataclass, field

MCC, CC, NEITHER = "an MCC", "a CC", "neither"
THREE = {MCC: "WITH MCC", CC: "WITH CC", NEITHER: "WITHOUT CC/MCC"}
MCC_OR_NOT = {MCC: "WITH MCC", CC: "WITHOUT MCC", NEITHER: "WITHOUT MCC"}
EITHER_OR_NOT = {MCC: "WITH CC/MCC", CC: "WITH CC/MCC", NEITHER: "WITHOUT CC/MCC"}
SINGLE = {MCC: "", CC: "", NEITHER: ""}


@dataclass(frozen=True)
class Family:
    """A base DRG: the number of its first title, its status wordings, its conditions, and exceptions in its titles.

    `rare` conditions have about one case in a data set, whatever its size.
    """

    base: str
    number: int
    statuses: dict[str, str]
    conditions: dict[str, str]
    irregular: tuple[tuple[str, str], ...] = ()
    female: bool = False
    rare: dict[str, str] = field(default_factory=dict)

    def title(self, severity: str) -> str:
        """The MS-DRG v34 title, with CMS's own irregularities."""
        title = f"{self.base} {self.statuses[severity]}".strip()
        return dict(self.irregular).get(title, title)

    def titles(self) -> list[str]:
        """The titles of the family, most severe first."""
        return list(dict.fromkeys(self.title(severity) for severity in (MCC, CC, NEITHER)))

    def code(self, condition: str) -> str:
        """The ICD-10-CM code of a condition, without dot."""
        return (self.conditions | self.rare)[condition].replace(".", "")

    def drg_number(self, severity: str) -> int:
        """The MS-DRG number of the title."""
        return self.number + self.titles().index(self.title(severity))


COMORBIDITIES = {
    MCC: {
        "acute respiratory failure": "J96.01",
        "septic shock": "R65.21",
        "severe malnutrition": "E43",
        "acute tubular necrosis": "N17.0",
        "cardiogenic shock": "R57.0",
        "toxic encephalopathy": "G92.8",
        "aspiration pneumonitis": "J69.0",
        "a stage four sacral ulcer": "L89.154",
        "ventricular fibrillation": "I49.01",
        "cerebral edema": "G93.6",
    },
    CC: {
        "acute blood loss anemia": "D62",
        "low sodium": "E87.1",
        "a pleural effusion": "J90",
        "moderate malnutrition": "E44.0",
        "delirium": "F05",
        "ileus": "K56.7",
        "a deep vein thrombosis": "I82.409",
        "lactic acidosis": "E87.20",
        "pancytopenia": "D61.818",
        "lung collapse": "J98.11",
    },
}

# Older admissions are coded in ICD-9-CM; a family without an entry here is always coded in ICD-10-CM.
ICD9 = {
    "HEART FAILURE AND SHOCK": ("4280", "Congestive heart failure, unspecified"),
    "SEPTICEMIA OR SEVERE SEPSIS WITHOUT MV >96 HOURS": ("0389", "Unspecified septicemia"),
    "SIMPLE PNEUMONIA AND PLEURISY": ("486", "Pneumonia, organism unspecified"),
    "G.I. HEMORRHAGE": ("5789", "Hemorrhage of gastrointestinal tract, unspecified"),
    "RENAL FAILURE": ("5849", "Acute kidney failure, unspecified"),
    "KIDNEY AND URINARY TRACT INFECTIONS": ("5990", "Urinary tract infection, site not specified"),
    "CELLULITIS": ("6826", "Cellulitis and abscess of leg, except foot"),
    "CHEST PAIN": ("78650", "Chest pain, unspecified"),
}

# Conditions that everybody may have and that set no status: secondary codes in the tables, history in the notes.
BACKGROUND = {
    "high blood pressure": "I10",
    "high cholesterol": "E78.5",
    "hypothyroidism": "E03.9",
    "gout": "M10.9",
    "osteoporosis": "M81.0",
    "sleep apnea": "G47.33",
    "glaucoma": "H40.9",
    "an enlarged prostate": "N40.0",
}
