"""Text as bytes and letters, whoever wrote it: how it is shown and how files of lines are read. Imports nothing of ours but errors."""
