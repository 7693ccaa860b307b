"""The study `sycophancy`: when does preference learning make a model agree with what it knows to be wrong?"""
