"""What the synthetic patients can have: families of MS-DRGs with their conditions, comorbidities that set the status.

A condition is a phrase, as the note words it, and the ICD-10-CM code (dotted) that a coder would give it. No phrase of
a principal condition is also a comorbidity, so a reader that finds both knows the title.
"""

from dataclasses import dataclass

MCC, CC, NEITHER = "an MCC", "a CC", "neither"
THREE = {MCC: "WITH MCC", CC: "WITH CC", NEITHER: "WITHOUT CC/MCC"}
MCC_OR_NOT = {MCC: "WITH MCC", CC: "WITHOUT MCC", NEITHER: "WITHOUT MCC"}
EITHER_OR_NOT = {MCC: "WITH CC/MCC", CC: "WITH CC/MCC", NEITHER: "WITHOUT CC/MCC"}
SINGLE = {MCC: "", CC: "", NEITHER: ""}


@dataclass(frozen=True)
class Family:
    """A base DRG: the number of its first title, its status wordings, its conditions, and exceptions in its titles."""

    base: str
    number: int
    statuses: dict[str, str]
    conditions: dict[str, str]
    irregular: tuple[tuple[str, str], ...] = ()
    female: bool = False

    def title(self, severity: str) -> str:
        """The MS-DRG v34 title, with CMS's own irregularities."""
        title = f"{self.base} {self.statuses[severity]}".strip()
        return dict(self.irregular).get(title, title)

    def titles(self) -> list[str]:
        """The titles of the family, most severe first."""
        return list(dict.fromkeys(self.title(severity) for severity in (MCC, CC, NEITHER)))

    def drg_number(self, severity: str) -> int:
        """The MS-DRG number of the title."""
        return self.number + self.titles().index(self.title(severity))


# The most frequent first: synthesize draws them with Zipf-like weights.
FAMILIES = (
    Family("HEART FAILURE AND SHOCK", 291, THREE, {
        "acute systolic heart failure": "I50.21",
        "acute diastolic heart failure": "I50.31",
        "congestive heart failure": "I50.9",
        "acute on chronic heart failure": "I50.23",
    }),
    Family("SEPTICEMIA OR SEVERE SEPSIS WITHOUT MV >96 HOURS", 871, MCC_OR_NOT, {
        "sepsis of unknown source": "A41.9",
        "gram negative sepsis": "A41.50",
        "staph aureus sepsis": "A41.01",
        "streptococcal sepsis": "A40.9",
    }),
    Family("SIMPLE PNEUMONIA AND PLEURISY", 193, THREE, {
        "community acquired pneumonia": "J18.9",
        "pneumococcal pneumonia": "J13",
        "lobar pneumonia": "J18.1",
        "mycoplasma pneumonia": "J15.7",
    }),
    Family("G.I. HEMORRHAGE", 377, THREE, {
        "a bleeding gastric ulcer": "K25.4",
        "a bleeding duodenal ulcer": "K26.4",
        "a bleeding diverticulum": "K57.31",
        "bleeding of unknown source": "K92.2",
    }),
    Family("RENAL FAILURE", 682, THREE, {
        "acute renal failure": "N17.9",
        "renal failure from cortical necrosis": "N17.1",
        "chronic renal failure": "N18.9",
    }),
    Family("MAJOR JOINT REPLACEMENT OR REATTACHMENT OF LOWER EXTREMITY", 469, MCC_OR_NOT, {
        "right knee arthritis needing replacement": "M17.11",
        "left knee arthritis needing replacement": "M17.12",
        "right hip arthritis needing replacement": "M16.11",
        "left hip arthritis needing replacement": "M16.12",
    }),
    Family("CHRONIC OBSTRUCTIVE PULMONARY DISEASE", 190, THREE, {
        "worsening obstructive lung disease": "J44.1",
        "obstructive lung disease with bronchitis": "J44.0",
        "obstructive lung disease with emphysema": "J43.9",
    }),
    Family("INTRACRANIAL HEMORRHAGE OR CEREBRAL INFARCTION", 64, THREE, {
        "an ischemic stroke": "I63.9",
        "an embolic stroke": "I63.40",
        "a thrombotic stroke": "I63.30",
        "a hemorrhagic stroke": "I61.9",
    }, irregular=((
        "INTRACRANIAL HEMORRHAGE OR CEREBRAL INFARCTION WITH CC",
        "INTRACRANIAL HEMORRHAGE OR CEREBRAL INFARCTION WITH CC OR TPA IN 24 HOURS",
    ),)),
    Family("KIDNEY AND URINARY TRACT INFECTIONS", 689, MCC_OR_NOT, {
        "a urinary tract infection": "N39.0",
        "a urinary infection of the kidney": "N10",
        "a urinary infection of the bladder": "N30.00",
    }),
    Family("PSYCHOSES", 885, SINGLE, {
        "manic psychosis": "F31.2",
        "schizophrenic psychosis": "F20.9",
        "depressive psychosis": "F33.3",
        "schizoaffective psychosis": "F25.9",
    }),
    Family("CARDIAC ARRHYTHMIA AND CONDUCTION DISORDERS", 308, THREE, {
        "an arrhythmia from atrial fibrillation": "I48.91",
        "an arrhythmia from atrial flutter": "I48.3",
        "an arrhythmia from heart block": "I44.2",
        "an arrhythmia from a sick sinus": "I49.5",
    }),
    Family("CELLULITIS", 602, MCC_OR_NOT, {
        "cellulitis of the right leg": "L03.115",
        "cellulitis of the left leg": "L03.116",
        "cellulitis of the face": "L03.211",
    }),
    Family("ESOPHAGITIS GASTROENTERITIS AND MISCELLANEOUS DIGESTIVE DISORDERS", 391, MCC_OR_NOT, {
        "viral gastroenteritis": "A08.4",
        "bacterial gastroenteritis": "A04.9",
        "reflux esophagitis": "K21.00",
        "gastroenteritis of unknown cause": "K52.9",
    }, irregular=((
        "ESOPHAGITIS GASTROENTERITIS AND MISCELLANEOUS DIGESTIVE DISORDERS WITHOUT MCC",
        "ESOPHAGITIS GASTROENTERISTIS AND MISCELLANEOUS DIGESTIVE DISORDERS WITHOUT MCC",
    ),)),
    Family("DIABETES", 637, THREE, {
        "diabetic ketoacidosis": "E10.10",
        "a hyperosmolar diabetic state": "E11.00",
        "poorly controlled diabetes": "E11.65",
        "a diabetic foot ulcer": "E11.621",
    }),
    Family("VAGINAL DELIVERY WITHOUT COMPLICATING DIAGNOSES", 775, SINGLE, {
        "labor at term": "O80",
        "labor with a first degree tear": "O70.0",
        "labor past the due date": "O48.0",
    }, female=True),
    Family("DISORDERS OF PANCREAS EXCEPT MALIGNANCY", 438, THREE, {
        "gallstone pancreatitis": "K85.10",
        "alcoholic pancreatitis": "K85.20",
        "chronic pancreatitis": "K86.1",
    }),
    Family("CHEST PAIN", 313, SINGLE, {
        "chest pain of unclear cause": "R07.9",
        "pleuritic chest pain": "R07.81",
        "precordial chest pain": "R07.2",
    }),
    Family("SEIZURES", 100, MCC_OR_NOT, {
        "a breakthrough seizure": "G40.909",
        "a first seizure": "R56.9",
        "a generalized seizure": "G40.309",
    }),
    Family("ALCOHOL DRUG ABUSE OR DEPENDENCE WITHOUT REHABILITATION THERAPY", 896, MCC_OR_NOT, {
        "alcohol withdrawal": "F10.230",
        "opioid withdrawal": "F11.23",
        "alcohol dependence": "F10.20",
    }),
    Family("CIRRHOSIS AND ALCOHOLIC HEPATITIS", 432, THREE, {
        "alcoholic cirrhosis with ascites": "K70.31",
        "cryptogenic cirrhosis": "K74.69",
        "alcoholic hepatitis": "K70.10",
    }),
    Family("CESAREAN SECTION", 765, EITHER_OR_NOT, {
        "a planned repeat cesarean": "O34.211",
        "breech position needing cesarean": "O32.1XX0",
        "arrest of labor needing cesarean": "O62.1",
    }, female=True),
    Family("MISCELLANEOUS DISORDERS OF NUTRITION METABOLISM  FLUIDS AND ELECTROLYTES", 640, MCC_OR_NOT, {
        "dehydration": "E86.0",
        "low potassium": "E87.6",
        "high calcium": "E83.52",
    }),
    Family("PULMONARY EMBOLISM", 175, MCC_OR_NOT, {
        "a pulmonary embolism": "I26.99",
        "a saddle pulmonary embolism": "I26.92",
        "a pulmonary embolism with heart strain": "I26.09",
    }),
    Family("RED BLOOD CELL DISORDERS", 811, MCC_OR_NOT, {
        "sickle cell anemia": "D57.1",
        "iron deficiency anemia": "D50.9",
        "hemolytic anemia": "D59.9",
    }),
    Family("FRACTURES OF HIP AND PELVIS", 535, MCC_OR_NOT, {
        "a right hip fracture": "S72.001A",
        "a left hip fracture": "S72.002A",
        "a pelvic fracture": "S32.9XXA",
    }),
    Family("POISONING AND TOXIC EFFECTS OF DRUGS", 917, MCC_OR_NOT, {
        "an acetaminophen overdose": "T39.1X1A",
        "an opioid overdose": "T40.2X1A",
        "a sedative overdose": "T42.4X1A",
    }),
    Family("SKIN GRAFT FOR SKIN ULCER OR CELLULITIS", 573, THREE, {
        "a leg ulcer needing a skin graft": "L97.919",
        "a heel ulcer needing a skin graft": "L89.619",
        "a venous ulcer needing a skin graft": "I83.009",
    }),
    Family("MALIGNANT BREAST DISORDERS", 597, THREE, {
        "metastatic breast cancer": "C50.919",
        "cancer of the right breast": "C50.911",
        "cancer of the left breast": "C50.912",
    }),
    Family("OTITIS MEDIA AND URI", 152, MCC_OR_NOT, {
        "otitis media": "H66.90",
        "an upper respiratory infection": "J06.9",
        "otitis of the middle ear with fluid": "H65.90",
    }),
    Family("SEPTICEMIA OR SEVERE SEPSIS WITH MV >96 HOURS", 870, SINGLE, {
        "sepsis with five days on the ventilator": "A41.89",
        "sepsis with a week on the ventilator": "A41.59",
    }),
    Family("DYSEQUILIBRIUM", 149, SINGLE, {
        "positional vertigo": "H81.10",
        "vertigo from the inner ear": "H83.09",
        "vertigo of unknown cause": "R42",
    }),
    Family("ACUTE MAJOR EYE INFECTIONS", 121, EITHER_OR_NOT, {
        "an infection of the orbit": "H05.019",
        "an infection of the eyeball": "H44.009",
        "an infected corneal ulcer": "H16.009",
    }),
    Family("NON-MALIGNANT BREAST DISORDERS", 600, EITHER_OR_NOT, {
        "a breast abscess": "N61.1",
        "breast inflammation": "N61.0",
        "a benign breast lump": "N63.0",
    }),
    Family("KIDNEY TRANSPLANT", 652, SINGLE, {
        "kidney failure needing a kidney transplant": "N18.6",
        "hypertension needing a kidney transplant": "I12.0",
    }),
    Family("SIMULTANEOUS PANCREAS AND KIDNEY TRANSPLANT", 8, SINGLE, {
        "kidney failure needing both transplants": "E10.22",
        "diabetes needing both transplants": "E10.21",
    }),
)  # fmt: skip

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
