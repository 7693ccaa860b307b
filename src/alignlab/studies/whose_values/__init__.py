"""The study `whose-values`: whose opinions a model has that a divided town trained, and what becomes of a
town that listens to it.
"""
