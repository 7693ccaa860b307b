"""The studio: runs in a browser, and what is done to its store of votes on the command line."""

from __future__ import annotations

from .command import Command, Option

WHERE = Option("folder", "the folder that holds the runs", "runs", positional=True)
FOLDER = Option("folder", "the folder of runs whose studio it is", "runs")
TASK = Option("task", "the task, by its name", "")
VOTES: dict[str, Command] = {
    "votes": Command(
        "rankings from what people said in the studio, and demonstrations from what they wrote",
        "stages:vote_rankings",
        (TASK, FOLDER),
        "settings:VotesSettings",
        "runs/votes",
    )
}
KINDS: dict[str, Command] = {
    "link": Command(
        "another link to the studio that runs over a folder: each is good for one browser",
        "studio.command:link",
        (WHERE,),
    ),
    "audit": Command(
        "whether the history of the votes is whole; exit code 5 if it is not",
        "votes.command:audit_command",
        (
            FOLDER,
            Option(
                "head",
                "a head that was carried out of the store (NUMBER:HASH), as a run's summary has it",
                "",
            ),
            Option("rebuild", "first make the votes again from their history", False, switch=True),
        ),
    ),
    "backup": Command(
        "a whole copy of the store, checked, while it may be open",
        "votes.command:backup_command",
        (Option("file", "the copy, which must not be there", "", positional=True), FOLDER),
    ),
    "export": Command(
        "a task's votes into a file that others read, with a card beside it",
        "votes.command:export_command",
        (
            TASK,
            FOLDER,
            Option(
                "format",
                "trl, hh, ranking, records and the other layouts of `alignlab export`, label-studio, "
                "argilla, or votes (one row a vote)",
                "records",
            ),
            Option("out", "the file: .jsonl, .json, .csv or .parquet", ""),
            Option("merge", "none, soft or majority, as in `alignlab collect --kind votes`", "none"),
            Option("group", "votes of people of this group alone", ""),
            Option("overwrite", "a file that is there already may be replaced", False, switch=True),
        ),
    ),
    "import": Command(
        "items for a task from a file of rankings or comparisons, perhaps with the votes in it",
        "votes.command:import_command",
        (
            Option(
                "file", "JSONL, JSON, CSV or Parquet, 64 MB at most; or a run of collect", "", positional=True
            ),
            TASK,
            FOLDER,
            Option("mode", "of a task that is new: pair, ranking, rating, edit or harm", "ranking"),
            Option("votes", "the rankings of the file are votes of the people it names", False, switch=True),
            Option("gold", "the rankings of the file are the truth", False, switch=True),
        ),
    ),
}
STUDIO: dict[str, Command] = {
    "studio": Command(
        "see every run of a folder in the browser, while it is made and afterwards; studio link gives a link",
        "studio.command:studio",
        (
            WHERE,
            Option("port", "where it answers, on this machine alone; 0 = any free one", 8710),
            Option("no-open", "print the link, and open no browser", False, switch=True),
            Option("jobs", "none = the pages start no command, and show it to be copied", "all"),
            Option("class", "let others of this network join and vote, by a code", False, switch=True),
            Option("class-port", "where they join", 8711),
            Option("host", "the address of this machine at which they do, in the place of all its own", ""),
            Option("allow-host", "other names by which it is called there, with commas", ""),
            Option("cert", "a certificate (PEM), for https there", ""),
            Option("key", "its key (PEM), without a password", ""),
        ),
        live=True,
        kind="see",
        kinds=KINDS,
    )
}
