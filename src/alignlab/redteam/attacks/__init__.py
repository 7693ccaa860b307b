"""Attacks by name, each with its source and what it costs."""
