"""Finding out how an aligned model fails: what harm is, how attacks go, who judges them."""
