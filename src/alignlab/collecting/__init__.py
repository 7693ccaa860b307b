"""Ways in which data are made: each a loop `run` that leaves records, and trains nothing."""
