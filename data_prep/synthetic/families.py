"""The families of MS-DRGs that a synthetic patient can be admitted for, the most frequent first."""

from data_prep.synthetic.vocabulary import EITHER_OR_NOT, MCC_OR_NOT, SINGLE, THREE, Family

FAMILIES = (
    Family("HEART FAILURE AND SHOCK", 291, THREE, {
        "acute systolic heart failure": "I50.21",
        "acute diastolic heart failure": "I50.31",
        "congestive heart failure": "I50.9",
        "acute on chronic heart failure": "I50.23",
    }, rare={"right heart failure": "I50.810", "high output heart failure": "I50.83"}),
    Family("SEPTICEMIA OR SEVERE SEPSIS WITHOUT MV >96 HOURS", 871, MCC_OR_NOT, {
        "sepsis of unknown source": "A41.9",
        "gram negative sepsis": "A41.50",
        "staph aureus sepsis": "A41.01",
        "streptococcal sepsis": "A40.9",
    }, rare={"salmonella sepsis": "A02.1", "listeria sepsis": "A32.7", "candida sepsis": "B37.7"}),
    Family("SIMPLE PNEUMONIA AND PLEURISY", 193, THREE, {
        "community acquired pneumonia": "J18.9",
        "pneumococcal pneumonia": "J13",
        "lobar pneumonia": "J18.1",
        "mycoplasma pneumonia": "J15.7",
    }, rare={"chlamydial pneumonia": "J16.0", "influenza with pneumonia": "J10.00"}),
    Family("G.I. HEMORRHAGE", 377, THREE, {
        "a bleeding gastric ulcer": "K25.4",
        "a bleeding duodenal ulcer": "K26.4",
        "a bleeding diverticulum": "K57.31",
        "bleeding of unknown source": "K92.2",
    }, rare={"a bleeding esophageal tear": "K22.6", "a bleeding vessel of the stomach": "K31.811"}),
    Family("RENAL FAILURE", 682, THREE, {
        "acute renal failure": "N17.9",
        "renal failure from cortical necrosis": "N17.1",
        "chronic renal failure": "N18.9",
    }, rare={"renal failure from nephritis": "N00.9"}),
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
    }, rare={"worsening bronchiectasis": "J47.1"}),
    Family("INTRACRANIAL HEMORRHAGE OR CEREBRAL INFARCTION", 64, THREE, {
        "an ischemic stroke": "I63.9",
        "an embolic stroke": "I63.40",
        "a thrombotic stroke": "I63.30",
        "a hemorrhagic stroke": "I61.9",
    }, rare={"a subarachnoid bleed": "I60.9", "a subdural bleed": "I62.00"}, irregular=((
        "INTRACRANIAL HEMORRHAGE OR CEREBRAL INFARCTION WITH CC",
        "INTRACRANIAL HEMORRHAGE OR CEREBRAL INFARCTION WITH CC OR TPA IN 24 HOURS",
    ),)),
    Family("KIDNEY AND URINARY TRACT INFECTIONS", 689, MCC_OR_NOT, {
        "a urinary tract infection": "N39.0",
        "a urinary infection of the kidney": "N10",
        "a urinary infection of the bladder": "N30.00",
    }, rare={"an infected obstructed kidney": "N13.6", "a kidney abscess": "N15.1"}),
    Family("PSYCHOSES", 885, SINGLE, {
        "manic psychosis": "F31.2",
        "schizophrenic psychosis": "F20.9",
        "depressive psychosis": "F33.3",
        "schizoaffective psychosis": "F25.9",
    }, rare={"delusional psychosis": "F22"}),
    Family("CARDIAC ARRHYTHMIA AND CONDUCTION DISORDERS", 308, THREE, {
        "an arrhythmia from atrial fibrillation": "I48.91",
        "an arrhythmia from atrial flutter": "I48.3",
        "an arrhythmia from heart block": "I44.2",
        "an arrhythmia from a sick sinus": "I49.5",
    }, rare={"an arrhythmia from an extra pathway": "I45.6"}),
    Family("CELLULITIS", 602, MCC_OR_NOT, {
        "cellulitis of the right leg": "L03.115",
        "cellulitis of the left leg": "L03.116",
        "cellulitis of the face": "L03.211",
    }, rare={"erysipelas": "A46", "impetigo": "L01.00"}),
    Family("ESOPHAGITIS GASTROENTERITIS AND MISCELLANEOUS DIGESTIVE DISORDERS", 391, MCC_OR_NOT, {
        "viral gastroenteritis": "A08.4",
        "bacterial gastroenteritis": "A04.9",
        "reflux esophagitis": "K21.00",
        "gastroenteritis of unknown cause": "K52.9",
    }, rare={"botulism": "A05.1", "norovirus gastroenteritis": "A08.11"}, irregular=((
        "ESOPHAGITIS GASTROENTERITIS AND MISCELLANEOUS DIGESTIVE DISORDERS WITHOUT MCC",
        "ESOPHAGITIS GASTROENTERISTIS AND MISCELLANEOUS DIGESTIVE DISORDERS WITHOUT MCC",
    ),)),
    Family("DIABETES", 637, THREE, {
        "diabetic ketoacidosis": "E10.10",
        "a hyperosmolar diabetic state": "E11.00",
        "poorly controlled diabetes": "E11.65",
        "a diabetic foot ulcer": "E11.621",
    }, rare={"diabetes from steroids": "E09.65"}),
    Family("VAGINAL DELIVERY WITHOUT COMPLICATING DIAGNOSES", 775, SINGLE, {
        "labor at term": "O80",
        "labor with a first degree tear": "O70.0",
        "labor past the due date": "O48.0",
    }, rare={"labor before term": "O60.14X0"}, female=True),
    Family("DISORDERS OF PANCREAS EXCEPT MALIGNANCY", 438, THREE, {
        "gallstone pancreatitis": "K85.10",
        "alcoholic pancreatitis": "K85.20",
        "chronic pancreatitis": "K86.1",
    }, rare={"pancreatitis from medicines": "K85.30", "a pancreatic pseudocyst": "K86.3"}),
    Family("CHEST PAIN", 313, SINGLE, {
        "chest pain of unclear cause": "R07.9",
        "pleuritic chest pain": "R07.81",
        "precordial chest pain": "R07.2",
    }),
    Family("SEIZURES", 100, MCC_OR_NOT, {
        "a breakthrough seizure": "G40.909",
        "a first seizure": "R56.9",
        "a generalized seizure": "G40.309",
    }, rare={"a myoclonic seizure": "G40.B09"}),
    Family("ALCOHOL DRUG ABUSE OR DEPENDENCE WITHOUT REHABILITATION THERAPY", 896, MCC_OR_NOT, {
        "alcohol withdrawal": "F10.230",
        "opioid withdrawal": "F11.23",
        "alcohol dependence": "F10.20",
    }, rare={"cocaine dependence": "F14.20", "sedative withdrawal": "F13.230"}),
    Family("CIRRHOSIS AND ALCOHOLIC HEPATITIS", 432, THREE, {
        "alcoholic cirrhosis with ascites": "K70.31",
        "cryptogenic cirrhosis": "K74.69",
        "alcoholic hepatitis": "K70.10",
    }, rare={"biliary cirrhosis": "K74.3"}),
    Family("CESAREAN SECTION", 765, EITHER_OR_NOT, {
        "a planned repeat cesarean": "O34.211",
        "breech position needing cesarean": "O32.1XX0",
        "arrest of labor needing cesarean": "O62.1",
    }, female=True),
    Family("MISCELLANEOUS DISORDERS OF NUTRITION METABOLISM  FLUIDS AND ELECTROLYTES", 640, MCC_OR_NOT, {
        "dehydration": "E86.0",
        "low potassium": "E87.6",
        "high calcium": "E83.52",
    }, rare={"low magnesium": "E83.42", "scurvy": "E54"}),
    Family("PULMONARY EMBOLISM", 175, MCC_OR_NOT, {
        "a pulmonary embolism": "I26.99",
        "a saddle pulmonary embolism": "I26.92",
        "a pulmonary embolism with heart strain": "I26.09",
    }, rare={"a septic pulmonary embolism": "I26.90"}),
    Family("RED BLOOD CELL DISORDERS", 811, MCC_OR_NOT, {
        "sickle cell anemia": "D57.1",
        "iron deficiency anemia": "D50.9",
        "hemolytic anemia": "D59.9",
    }, rare={"thalassemia": "D56.1", "folate deficiency anemia": "D52.9"}),
    Family("FRACTURES OF HIP AND PELVIS", 535, MCC_OR_NOT, {
        "a right hip fracture": "S72.001A",
        "a left hip fracture": "S72.002A",
        "a pelvic fracture": "S32.9XXA",
    }, rare={"a fractured sacrum": "S32.10XA"}),
    Family("POISONING AND TOXIC EFFECTS OF DRUGS", 917, MCC_OR_NOT, {
        "an acetaminophen overdose": "T39.1X1A",
        "an opioid overdose": "T40.2X1A",
        "a sedative overdose": "T42.4X1A",
    }, rare={"a heroin overdose": "T40.1X1A", "methanol poisoning": "T51.1X1A"}),
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
    }, rare={"croup": "J05.0"}),
    Family("SEPTICEMIA OR SEVERE SEPSIS WITH MV >96 HOURS", 870, SINGLE, {
        "sepsis with five days on the ventilator": "A41.89",
        "sepsis with a week on the ventilator": "A41.59",
    }),
    Family("DYSEQUILIBRIUM", 149, SINGLE, {
        "positional vertigo": "H81.10",
        "vertigo from the inner ear": "H83.09",
        "vertigo of unknown cause": "R42",
    }, rare={"vertigo from Meniere disease": "H81.09"}),
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
