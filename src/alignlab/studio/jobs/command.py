"""A command of a job: asked to stop, so that it saves what it has, once the process that keeps it is gone.

python -m alignlab.studio.jobs.command WORDS      as `alignlab WORDS`, kept by the process that KEEPER names
"""

from __future__ import annotations

import os
import runpy
import signal

from ..parent import without

KEEPER = "ALIGNLAB_STUDIO_KEEPER"  # in the environment

if __name__ == "__main__":
    without(int(os.environ.pop(KEEPER)), lambda: os.kill(os.getpid(), signal.SIGTERM))
    runpy.run_module("alignlab.cli", run_name="__main__", alter_sys=True)
