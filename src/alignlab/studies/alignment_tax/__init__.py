"""The study `alignment-tax`: what a model that is made safe loses, forgotten or withheld."""
