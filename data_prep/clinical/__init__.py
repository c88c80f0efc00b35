"""Where the clinical notes of data_prep.clinical_notes come from, and how wrong ones are made of right ones."""
