"""One self-contained HTML page from run folders alone."""
