"""The lecture: pages from Markdown and records, each number with a receipt; slides, quizzes and checks.

What is taught lies in `lecture/` (of a checkout, or in this package where it is installed); the format of its
files stands in docs/lecture.md.
"""
