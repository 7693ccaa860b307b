"""What stands between a prompt and a model: filters, guards and rewritten prompts."""
