"""`alignlab studio`: runs in a browser, on this machine, beside the commands that make them.

    browser -> app (guard: who asks, from which page) -> table (one row an endpoint) -> reading (answers)
                                                          runs, index <- scan, tail <- run folders

What trains or measures is a child, one of the closed list of `jobs`, that outlives the studio.

One process without torch. It reads run folders and changes none of them; what it sends is checked by the
models of `schema`, from which the types of the pages are made too (`web/openapi.json`).
"""
