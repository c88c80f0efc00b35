"""What eval.predict makes of the samples of a note."""
