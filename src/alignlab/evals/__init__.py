"""Evaluation: tasks that models are put to, and the statistics of what is claimed about them."""
