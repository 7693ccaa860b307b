from ..study import Form, Study, Told
from .figures import measure
from .plan import plan


def tell(seeds):
    return Told(["-"], [])


QUANTISATION = Study(
    title="Quantisation",
    controls="-",
    town=Form(plan, measure, tell),
    town_alone="it asks the town what it knows",
)
