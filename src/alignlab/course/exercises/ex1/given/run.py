"""Fine-tunes with your functions and settings, and shows five answers before and after.

python run.py                the fine-tuning
python run.py --look NAME    five demonstrations of a set
"""

import sys

import sft

from alignlab.course.exercises.ex1.playing import look, play

if sys.argv[1:2] == ["--look"]:
    look(sys.argv[2])
else:
    play(sft)
