"""The run directory: the only thing that passes between stages.

    OUT/  run.json       stage, status, key, seed, parents, commit, versions, machine, seconds
          config.json    settings and options of the stage
          metrics.jsonl  one line a step
          samples.jsonl  texts
          health.jsonl   what the rules of `alignlab.health.rules` said of the metrics while it ran
          data/          records that were used or made
          checkpoint/    a model folder, where the stage makes one
          summary.json   its figures
          manifest.json  size and SHA-256 of every file, written last, compared whenever the run is read

While a stage works the folder is called `OUT.partial` and holds the newest `state-N/` (safetensors and JSON)
to go on from. Finishing renames it, so that OUT is either whole or not there. Nothing random is ever saved:
every draw is derived from (seed, purpose, step), so a resumed run makes the same draws and ends in the same
bits. A loop looks like this:

    saved = run.load_state()                                     # None at the beginning
    if saved:
        _, tensors, extra = saved
        ...                                                      # put them back into model and optimizer
    for step in run.steps(total, desc="sft", save=lambda: (tensors_now(), {"ema": ema})):
        ...                            # `save` is called after a step, when it is time or on an interrupt
        run.log(step, {"loss": loss})
    run.finish(summary)
"""

from .directory import Resume as Resume
from .directory import RunDir as RunDir
from .files import writing as writing
from .guards import at_step as at_step
from .guards import guard_finite as guard_finite
from .identity import key_of as key_of
from .lock import Busy as Busy
from .lock import wait_until_free as wait_until_free
from .manifest import check_model as check_model
from .manifest import check_whole as check_whole
from .manifest import later as later
from .outputs import check_file as check_file
from .outputs import is_page as is_page
from .outputs import is_summary as is_summary
from .outputs import whole_file as whole_file
from .outputs import write_document as write_document
from .places import check_folder as check_folder
from .reading import RunInfo as RunInfo
from .reading import examine_run as examine_run
from .reading import faults_of as faults_of
from .reading import find_folders as find_folders
from .reading import list_runs as list_runs
from .reading import read_run as read_run
from .seeds import derive_seed as derive_seed

DONE_ALREADY = "done already, nothing to do"
"""The last words of a command whose run was there."""
