"""Ways in from other libraries and out to other engines: recipes of TRL, GGUF files."""
