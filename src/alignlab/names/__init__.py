"""What a name on the command line stands for: `known` whether it stands for something, without torch; `things` makes it."""
