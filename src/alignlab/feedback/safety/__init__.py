"""Judges of safety: refusals, rubrics, planted texts; each says a verdict of one answer."""
