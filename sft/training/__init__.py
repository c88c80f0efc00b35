"""What trainings share: settings, start, examples, tokens, the folder that they leave."""
