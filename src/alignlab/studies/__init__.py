"""The debates of the field as experiments: a study plans stages, reads their run folders and says what it
found, with its controls.
"""
