"""What people say of answers: one store of their votes, and what is made of it.

    store = Store.open(studio_folder("runs"))                # or read_store, beside a store that is open
    task = store.do(tasks.add_task, Task(name="first", mode="ranking"))
    report = store.do(items.add_items, task, rankings)
    person = store.do(people.join, "Ada")
    asked = store.do(assignment.ask, task, person.id, want=1)
    store.do(voting.vote_on, person.id, Ballot(id="...", lease=asked.items[0].lease, ranks=(1, 2)))

Every operation is a function of a transaction; `Store.submit` hands it to the one thread that writes and
gives a future, `Store.do` waits for it, and the answer comes once it is on the disk. Readers have connections
of their own.

    errors                        why something was refused
    schema, migrations            the tables, and how they change
    database, writer, store       SQLite or PostgreSQL, the thread that writes, and all of it together
    chain, fold                   the history that outlives an erasure; events -> votes
    tasks, items, people          what is asked, and of whom
    assignment, voting            leases on items, and what people say
    standing                      how much is still before somebody
    figures, rankings, exchange   what is made of it
"""
