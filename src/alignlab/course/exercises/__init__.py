"""The exercises: what each asks for, how it is graded, and what a student is given."""
