"""Evaluation: suites of held-out prompts, and the statistics of what is claimed about them."""
