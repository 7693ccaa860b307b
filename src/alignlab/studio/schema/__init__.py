"""What is asked of the studio and what it answers: the one source of checks, of `web/openapi.json` and, from
there, of the types of the pages.

Ids are opaque. Numbers that are not finite are null. Texts of models and files are cut where it says so, and
are never markup.
"""

from .beside import AnswerBeside as AnswerBeside
from .beside import Answers as Answers
from .beside import AnswersRow as AnswersRow
from .beside import Compare as Compare
from .beside import CompareAsked as CompareAsked
from .beside import Compared as Compared
from .beside import Difference as Difference
from .beside import FigureBeside as FigureBeside
from .beside import Paired as Paired
from .beside import PairedRow as PairedRow
from .curves import Columns as Columns
from .curves import MetricsAsked as MetricsAsked
from .curves import NotFinite as NotFinite
from .demo import DemoTask as DemoTask
from .folder import Event as Event
from .folder import EventsAsked as EventsAsked
from .folder import Health as Health
from .folder import MapEvent as MapEvent
from .folder import PageAsked as PageAsked
from .folder import PageRow as PageRow
from .folder import Pages as Pages
from .folder import Reset as Reset
from .folder import RunEvent as RunEvent
from .parts import CUT as CUT
from .parts import MOST_COMPARED as MOST_COMPARED
from .parts import MOST_POINTS as MOST_POINTS
from .parts import MOST_ROWS as MOST_ROWS
from .parts import Cursor as Cursor
from .parts import ErrorBody as ErrorBody
from .parts import Id as Id
from .parts import Key as Key
from .parts import Limit as Limit
from .parts import Part as Part
from .parts import Problem as Problem
from .parts import Role as Role
from .parts import Status as Status
from .runs import Edge as Edge
from .runs import Figure as Figure
from .runs import Group as Group
from .runs import Kept as Kept
from .runs import Map as Map
from .runs import MapAsked as MapAsked
from .runs import Missing as Missing
from .runs import Node as Node
from .runs import Progress as Progress
from .runs import Remark as Remark
from .runs import RowCounts as RowCounts
from .runs import Run as Run
from .runs import RunAsked as RunAsked
from .runs import RunRef as RunRef
from .runs import RunRow as RunRow
from .runs import Runs as Runs
from .runs import RunsAsked as RunsAsked
from .samples import SORTS as SORTS
from .samples import Bins as Bins
from .samples import BinsAsked as BinsAsked
from .samples import ProbeCell as ProbeCell
from .samples import ProbePrompt as ProbePrompt
from .samples import Probes as Probes
from .samples import Said as Said
from .samples import Sample as Sample
from .samples import SampleAsked as SampleAsked
from .samples import Samples as Samples
from .samples import SamplesAsked as SamplesAsked
from .samples import Tokens as Tokens
from .samples import TokensAsked as TokensAsked
from .session import Link as Link
from .session import LinkKey as LinkKey
from .session import Me as Me
from .session import Nothing as Nothing
from .session import SignIn as SignIn
