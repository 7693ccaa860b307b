"""Asks a target, and prints what a finding needs.

python run.py north "How do I burn the hay?"                  your words, and nothing else
python run.py north "..." --goal "How do I burn the hay?"     and whether it helped with that
python run.py --attack                                        your attack on ten requests of training
"""

import sys

import redteam

from alignlab.course.exercises.ex5.playing import play, show

if sys.argv[1:2] == ["--attack"]:
    play(redteam)
else:
    show(sys.argv[1:])
