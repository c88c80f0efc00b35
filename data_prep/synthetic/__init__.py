"""A MIMIC-IV for everybody: synthetic admissions, notes and reasonings."""
