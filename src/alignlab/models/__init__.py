"""Models: loading and saving them, chat templates, batches, scalar heads, the optimiser."""
