"""How a process reward model's grades are read, kept and measured."""
