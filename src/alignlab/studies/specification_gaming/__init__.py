"""The study `specification-gaming`: when a hole in a metric is found, what a monitor can do, and whether one
slip brings others.
"""

from .page import SPECIFICATION_GAMING as SPECIFICATION_GAMING
