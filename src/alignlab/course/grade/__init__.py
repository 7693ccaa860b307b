"""The grader: a student's file runs in a process of its own, what is right stays in this one.

`exercise` is what an exercise declares, `runner` asks the student's process (`child`), `match` compares and
names mistakes, `grading` adds up points, `report` says it in words, `folder` keeps what a student has;
`export` writes a grader for another tool, which asks `points`.
"""
