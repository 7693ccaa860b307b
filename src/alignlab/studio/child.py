"""One model behind `alignlab serve`, in a process of its own that ends with the studio that started it.

python -m alignlab.studio.child FOLDER PARENT     the model's folder, and the process to end with
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

from ..errors import UserError
from ..serve.command import serve
from ..settings import ServeSettings

NAME = "model"  # by which it is asked for
KEY = "ALIGNLAB_STUDIO_KEY"  # in the environment, which other users cannot read, as they can a command line
LOOK = 0.5  # seconds between two looks at whether the studio lives


def main(folder: str, parent: int) -> int:
    """Answer until the studio ends it or has ended itself. The first line on stdout is a JSON object: `port`,
    or `what` and `remedy` of what keeps the model from being loaded.
    """
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    settings = ServeSettings(port=0, api_key_env=KEY, context=0, slots=8, queue=16)
    try:
        serve(models=f"{NAME}={folder}", settings=settings, as_json=True)
    except UserError as error:
        print(json.dumps({"what": error.what, "remedy": error.remedy}), flush=True)
        return error.exit_code


def _end_with(parent: int) -> None:
    """Whoever loses its parent gets another. A pipe would not say it: others may hold its end."""
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], int(sys.argv[2])))
