"""One model behind `alignlab serve`, or one that scores, in a process of its own that ends with the studio.

python -m alignlab.studio.child FOLDER PARENT     the model's folder, and the process to end with
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from ..errors import UserError
from ..models.folder import is_reward
from ..serve.command import serve
from ..settings import ServeSettings
from .parent import without

NAME = "model"  # by which it is asked for
KEY = "ALIGNLAB_STUDIO_KEY"  # in the environment, which other users cannot read, as they can a command line


def main(folder: str, parent: int) -> int:
    """Answer until the studio ends it or has ended itself. The first line on stdout is a JSON object: `port`,
    or `what` and `remedy` of what keeps the model from being loaded.
    """
    without(parent, lambda: os._exit(1))
    settings = ServeSettings(port=0, api_key_env=KEY, context=0, slots=8, queue=16)
    try:
        if is_reward(Path(folder)):
            from ..names.judges import reward_judge
            from .scoring import scoring

            scoring(reward_judge(folder).load(), os.environ[KEY])
        serve(models=f"{NAME}={folder}", settings=settings, as_json=True)
    except UserError as error:
        print(json.dumps({"what": error.what, "remedy": error.remedy}), flush=True)
        return error.exit_code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], int(sys.argv[2])))
