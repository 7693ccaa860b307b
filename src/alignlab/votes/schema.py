"""The tables. Ids are text, times whole microseconds since 1970, and what is written by people is JSON in
ASCII, which every database holds (a NUL and half of a surrogate pair included).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, Table, Text, text

metadata = MetaData()

meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))
"""schema (a number), store (its id), secret (for orders and return codes)."""

event = Table(  # append-only, but for what an erasure empties
    "event",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("item", Text, nullable=False),
    Column("payload", Text),
    Column("salt", Text),
    Column("digest", Text, nullable=False),
    Column("prev", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index("event_actor", "actor"),
)

task = Table(
    "task",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("settings", Text, nullable=False),
    Column("state", Text, nullable=False),
)

guideline = Table(
    "guideline",
    metadata,
    Column("task", Text, ForeignKey("task.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("text", Text, nullable=False),
    Column("digest", Text, nullable=False),
)

item = Table(
    "item",
    metadata,
    Column("id", Text, primary_key=True),
    Column("task", Text, ForeignKey("task.id"), nullable=False),
    Column("place", Integer, nullable=False),  # in the order in which items were made
    Column("content", Text, nullable=False),  # a ranking as JSON; its ranks are the truth, or all the same
    Column("digest", Text, nullable=False),  # of the content: an item is made once
    Column("n", Integer, nullable=False),
    Column("side", Text, nullable=False),  # train or test
    Column("why", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("needed", Integer, nullable=False),
    Column("got", Integer, nullable=False),
    Column("repeat_of", Text, ForeignKey("item.id")),
    Column("only_for", Text, ForeignKey("annotator.id")),
    Index("item_next", "task", "only_for", "priority", "got"),
    Index("item_digest", "task", "digest"),
    Index("item_place", "task", "place"),
)

annotator = Table(
    "annotator",
    metadata,
    Column("id", Text, primary_key=True),  # the name by which data knows somebody
    Column("name", Text),
    Column("folded", Text, unique=True),  # the name in small letters
    Column("role", Text, nullable=False),
    Column("groups", Text, nullable=False),
    Column("return_hash", Text),
    Column("joined", BigInteger, nullable=False),
    Column("erased", BigInteger),
)

session = Table(
    "session",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("annotator", Text, ForeignKey("annotator.id"), nullable=False),
    Column("expires", BigInteger, nullable=False),
)

lease = Table(  # of an item to somebody; one that is over stays, so that a late vote still finds its item
    "lease",
    metadata,
    Column("id", Text, primary_key=True),
    Column("item", Text, ForeignKey("item.id"), nullable=False),
    Column("annotator", Text, ForeignKey("annotator.id"), nullable=False),
    Column("given", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("skipped", Integer, nullable=False),
    Index("lease_whose", "item", "annotator", unique=True),
    Index("lease_annotator", "annotator"),
)

vote = Table(  # a fold of the events: it can be made again from them
    "vote",
    metadata,
    Column("id", Text, primary_key=True),  # of its event
    Column("seq", BigInteger, nullable=False),
    Column("task", Text, nullable=False),
    Column("item", Text, nullable=False),
    Column("annotator", Text, nullable=False),
    Column("given", Text, nullable=False),  # what was said, in the order of the item's answers
    Column("why", Text, nullable=False),
    Column("late", Integer, nullable=False),
    Column("superseded_by", Text),
    Index("vote_counted", "item", "annotator", unique=True, sqlite_where=text("superseded_by IS NULL"),
          postgresql_where=text("superseded_by IS NULL")),
    Index("vote_task", "task", "item"),
    Index("vote_annotator", "annotator", "seq"),
)  # fmt: skip
