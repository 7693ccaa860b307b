"""The study `quantisation`: what is left of alignment in the file that is shipped."""
