"""`alignlab serve`: models behind OpenAI's HTTP API, on this machine.

    client -> app (routes, limits, key, audit) -> protocol (a request read and checked) -> [defences] ->
    engine (one thread a model) -> ContinuousSampler

`protocol` and `engine` know nothing of HTTP, `app` nothing of tensors.
"""
