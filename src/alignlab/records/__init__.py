"""The typed records that flow between stages, and their JSON form.

Every record has `to_json()` (a plain dict in the field's column names) and a `from_json` that checks what it
reads; `write_jsonl` and `read_jsonl` move whole files. Readers of other people's formats live in
`alignlab.data.formats`.
"""

from .completions import Chain as Chain
from .completions import Completion as Completion
from .completions import Demonstration as Demonstration
from .completions import Round as Round
from .completions import Score as Score
from .completions import Unpaired as Unpaired
from .completions import check_label as check_label
from .jsonl import Record as Record
from .jsonl import Row as Row
from .jsonl import prompt_in as prompt_in
from .jsonl import read_jsonl as read_jsonl
from .jsonl import write_jsonl as write_jsonl
from .preferences import MOST_RANKED as MOST_RANKED
from .preferences import PER_COMPLETION as PER_COMPLETION
from .preferences import Comparison as Comparison
from .preferences import Ranking as Ranking
from .preferences import pairs_of as pairs_of
from .preferences import ranks_from_scores as ranks_from_scores
from .preferences import ties_of as ties_of
from .prompts import ROLE_NAMES as ROLE_NAMES
from .prompts import ROLES as ROLES
from .prompts import TOOL_ROLES as TOOL_ROLES
from .prompts import Message as Message
from .prompts import Prompt as Prompt
from .prompts import Role as Role
from .prompts import Text as Text
from .prompts import messages_from_json as messages_from_json
from .prompts import question as question
from .prompts import role_of as role_of
