"""Rows of benchmarks/studio.py that need a studio in a process of its own, most of them also a browser."""
