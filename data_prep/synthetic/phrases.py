"""The sentences and words of synthetic notes: {p} is the condition, {c} a comorbidity, the others are in WORDS."""

from data_prep.synthetic.vocabulary import BACKGROUND

OPENINGS = (
    "{Mr} ___ is a ___ year old {man} who was admitted with {p}.",
    "{Mr} ___ was admitted with {p} and stayed for {k} days.",
    "This ___ year old {man} came to the emergency room and was admitted with {p}.",
    "The patient felt unwell for {n} days and was admitted with {p}.",
)
OPENING_AFTER_HISTORY = "{Mr} ___ is a ___ year old {man} with a history of {other} who was admitted with {p}."
FOUND = (
    "The stay was complicated by {c}.",
    "On day {n} {he} developed {c} and was treated.",
    "Tests on day {n} confirmed {c}.",
    "{He} was also treated for {c}.",
)
NOT_FOUND = (
    "There was no evidence of {c}.",
    "The team considered {c} but ruled it out.",
    "{He} has a history of {c} in the past.",
    "The workup for {c} was negative.",
)
NOT_THE_REASON = ("The first concern was {p}, which was excluded.", "A consult found no sign of {p}.")
FILLERS = (
    "Pain was controlled with {drug} as needed.",
    "{He} was given fluids and {drug} on day {n}.",
    "{Drug} was started and later stopped.",
    "The home dose of {drug} was continued.",
    "{He} was able to eat a regular diet by day {n}.",
    "Vital signs were stable and {he} had no fever.",
    "The {team} team saw the patient and agreed with the plan.",
    "{Team} was consulted and asked for an {image} of the {part}.",
    "An {image} of the {part} was normal.",
    "An {image} of the {part} showed no change.",
    "Daily labs were drawn and remained stable.",
    "The white count was {k} on arrival and {n} at discharge.",
    "{He} worked with physical therapy and walked {k} steps.",
    "The family was updated on day {n} and had no questions.",
    "{He} slept well and felt better each day.",
    "The {part} was examined daily and looked well.",
    "Heparin was given to prevent clots.",
    "{He} was weaned to room air on day {n}.",
    "A line was placed on day {n} and removed before discharge.",
    "Home {drug} was held for {n} days and then restarted.",
    "{He} takes {drug} for {b}, which was continued.",
    "The plan is to see {team} in {n} weeks.",
)
# How the present illness begins; a later paragraph holds what ARRIVAL_UNCLEAR leaves out.
ARRIVALS = (
    "___ year old {man} who presents with {p}.",
    "{Mr} ___ is a ___ year old {man} sent in by a clinic with {p}.",
    "This ___ year old {man} was brought in with {p}.",
)
ARRIVAL_AFTER_HISTORY = "___ year old {man} with a history of {other} who presents with {p}."
ARRIVAL_UNCLEAR = "___ year old {man} who came in after {n} days of feeling unwell."
CLEARED_UP = "The findings in the ED pointed to {p}."
CLOSINGS = (
    "{He} was discharged home in stable condition.",
    "{He} went to rehab in good condition.",
    "{He} left in stable condition with follow up in {n} weeks.",
)
WORDS = {
    "n": ("two", "three", "four", "five", "six", "seven"),
    "k": ("eight", "nine", "ten", "eleven", "twelve"),
    "drug": ("aspirin", "metoprolol", "lisinopril", "insulin", "furosemide", "ceftriaxone", "morphine", "omeprazole"),
    "team": ("cardiology", "surgery", "renal", "neurology", "nutrition", "pharmacy", "medicine", "orthopedics"),
    "image": ("ultrasound", "x-ray", "MRI", "exam"),
    "part": ("chest", "abdomen", "head", "neck", "back", "leg"),
    "b": tuple(BACKGROUND),
}
WRAP = 70
VITALS = "T 98.6 HR ___ BP ___ RR 16 O2 98% RA"
STUBS = ("Mg-1.___", "Mg-2.___", "COUNT-___", "TRF-___", "Gap-___")
