"""The study `depth`: where in an answer, and how firmly in the weights, safety sits."""
