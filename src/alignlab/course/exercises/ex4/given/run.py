"""Applies your constitution by your chain, and shows what becomes of drafts.

python run.py                  the prepared critic, or the editor of the town where none is prepared
python run.py --twelve         the twelve drafts of predictions.toml
python run.py --critic NAME    another critic: a run folder, or a model by name
"""

import sys

import cai

from alignlab.course.exercises.ex4.playing import play, show_twelve

if sys.argv[1:2] == ["--twelve"]:
    show_twelve()
elif sys.argv[1:2] == ["--critic"]:
    play(cai, sys.argv[2])
else:
    play(cai)
