"""Is this run normal? Rules over a run's metrics, and the watch that asks them while it trains."""
