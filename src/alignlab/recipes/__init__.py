"""How organisations put the pipeline together, as plain functions that read from top to bottom.

`alignlab run --recipe NAME`. Each recipe says what was published, what stands for it on the town, and what
was left out. All but `instructgpt` share out `budget` completions, about as many as that one samples to learn
from, so that a table can compare them.
"""
