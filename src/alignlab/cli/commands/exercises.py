"""The exercises of the lecture."""

from __future__ import annotations

from .command import Command, Option

WORK = Option("name", "the exercise, whose folder is here, or the folder of one", "ex3", positional=True)
SALT = Option("salt", "the word of the instructor that draws other inputs; empty = those to practice on", "")
KINDS: dict[str, Command] = {
    "start": Command(
        "make a folder with what you are given: a stub, a script, a report with gaps",
        "course.grade.commands:begin",
        (
            Option("name", "the exercise", "ex3", positional=True),
            Option("id", "your name: what is drawn for you follows from it", ""),
            Option("folder", "where; empty = a folder of the exercise's name", ""),
        ),
    ),
    "grade": Command(
        "points for what you have written, and what does not hold; any time, also with gaps",
        "course.grade.commands:grade",
        (
            WORK,
            SALT,
            Option(
                "csv",
                (
                    "grade all hand-ins of a folder: points as a table in this file, a page of the class's "
                    "mistakes beside it; empty = one folder of one student"
                ),
                "",
            ),
        ),
    ),
    "hint": Command(
        "one step more of help with what fails first: what is to hold, an example, the mistake by name",
        "course.grade.commands:hint",
        (WORK, SALT),
    ),
    "vote": Command(
        "of exercise 2: pairs of answers in the terminal, a key each; all votes end in one file of rankings",
        "course.exercises.ex2.voting:vote",
        (
            Option("name", "the folder of exercise 2", "ex2", positional=True),
            Option("who", "your name; empty = nobody sits here", ""),
            Option("simulate", "people of the town who vote as well: town:noisy,town:careless", ""),
        ),
    ),
    "pack": Command(
        "one zip to hand in: code, report and receipt",
        "course.grade.handin:pack",
        (WORK, Option("notebook", "write the zip into this notebook of mograder, too", "")),
    ),
    "verify": Command(
        "run what was handed in again: does it come to what its receipt says?",
        "course.grade.handin:verify",
        (Option("file", "the zip, or a folder", "", positional=True),),
    ),
    "export": Command(
        "a folder by which another tool that collects a class calls this grader",
        "course.grade.export:export",
        (
            Option("name", "the exercise", "ex3", positional=True),
            Option("for", "otter, nbgrader, mograder or gradescope", ""),
            Option("out", "the folder, which is not there yet or empty", ""),
            SALT,
        ),
    ),
    "points": Command(
        "of one hand-in what each property earns, as an exported grader asks for it",
        "course.grade.points:points",
        (
            Option(
                "name",
                "a zip, a folder, or a folder with one zip in it; - = base64 on standard input",
                "",
                positional=True,
            ),
            Option("of", "the exercise that is asked for", "ex3"),
            Option(
                "key", "the file of `exercise export` with the salt; empty = the inputs to practice on", ""
            ),
        ),
    ),
}
EXERCISE: dict[str, Command] = {
    "exercise": Command(
        "the exercises of the lecture: start one, grade it, ask for a hint",
        "course.grade.commands:listed",
        kind="list",
        kinds=KINDS,
        spoken=True,
    )
}
