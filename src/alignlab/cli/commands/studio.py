"""The studio: runs in a browser."""

from __future__ import annotations

from .command import Command, Option

FOLDER = Option("folder", "the folder that holds the runs", "runs", positional=True)
KINDS: dict[str, Command] = {
    "link": Command(
        "another link to the studio that runs over a folder: each is good for one browser",
        "studio.command:link",
        (FOLDER,),
    )
}
STUDIO: dict[str, Command] = {
    "studio": Command(
        "see every run of a folder in the browser, while it is made and afterwards; studio link gives a link",
        "studio.command:studio",
        (
            FOLDER,
            Option("port", "where it answers, on this machine alone; 0 = any free one", 8710),
            Option("no-open", "print the link, and open no browser", False, switch=True),
        ),
        live=True,
        kind="see",
        kinds=KINDS,
    )
}
