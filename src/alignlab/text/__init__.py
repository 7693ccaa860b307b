"""Text as bytes and letters, whoever wrote it: how it is shown, read and meant. Imports nothing of ours but
errors.
"""
