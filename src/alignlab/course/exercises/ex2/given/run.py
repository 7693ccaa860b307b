"""Shows what the votes of this folder say, and trains a reward model by your functions."""

import preferences

from alignlab.course.exercises.ex2.playing import play

play(preferences)
