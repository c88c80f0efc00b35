"""What eval.judge_check asks a judge, and what it makes of the grades."""
