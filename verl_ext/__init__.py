"""The only code that touches verl: its platform for a CPU, and what the recipes add to its trainer."""
