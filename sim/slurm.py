"""A script that submits a campaign to Slurm: an array of shards, and a job that joins them.

The options are those of Slurm's ``sbatch``; what CC-IN2P3 asks for beyond them (account, storage as licences, no
lasting files in the node's scratch) follows https://doc.cc.in2p3.fr/en/Computing/slurm/environment.html.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from slewguard.subimages.errors import BadInput

_TEMPLATE = """\
#!/bin/bash
# A slewguard campaign in {n} shards for Slurm, as at CC-IN2P3.
#
# Run this script on a login node, with slewguard on the PATH, in a folder that all nodes share. It submits two jobs
# and computes nothing itself. Options for sbatch may follow, and win over those below:
#
#     bash THIS_SCRIPT --account=GROUP --licenses=sps
#
# CC-IN2P3 asks for the storage systems that the jobs touch as licences (`scontrol show lic` lists them).
#
# Each shard keeps its finished events beside its output, never in the node's scratch: a task that is killed or
# requeued goes on where it stopped. After a failure run the script again: shards that are there stay as they are.
set -euo pipefail
mkdir -p {folder}

# One core for each shard; the shards differ in nothing but their events.
array=$(sbatch --parsable --job-name=slewguard --array=0-{last} --requeue \\
    --ntasks=1 --cpus-per-task=1 --mem=3G --time=1-00:00:00 --output={folder}/%a.log "$@" <<'JOB'
#!/bin/bash
set -euo pipefail
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
shard={folder}/shard-$SLURM_ARRAY_TASK_ID.h5
test -e "$shard" || slewguard simulate {options} \\
    --workers 1 --shard "$SLURM_ARRAY_TASK_ID/{n}" --out "$shard"
JOB
)

# Starts when every shard is done, and refuses to join what does not belong together.
sbatch --job-name=slewguard-join --dependency="afterok:${{array%%;*}}" \\
    --ntasks=1 --cpus-per-task=1 --mem=8G --time=02:00:00 --output={folder}/join.log "$@" <<'JOB'
#!/bin/bash
set -euo pipefail
slewguard simulate --join {folder}/shard-*.h5 --out {out}
JOB
"""


def sbatch_script(options: Sequence[str], n_shards: int, out: str | Path) -> str:
    """Return a bash script that submits a campaign as a job array and joins its shards.

    Parameters
    ----------
    options : sequence of str
        Options of ``slewguard simulate`` that describe the campaign.
    n_shards : int
        Tasks of the array.
    out : path-like
        The whole campaign's output; the shards go to a folder beside it.

    Raises
    ------
    BadInput
        If an option or path holds a line break.
    """
    if any("\n" in word for word in (*options, str(out))):
        raise BadInput("a line break cannot stand in a batch script")
    out = Path(out)
    return _TEMPLATE.format(
        n=n_shards,
        last=n_shards - 1,
        folder=shlex.quote(str(out.with_name(out.stem + ".shards"))),
        options=shlex.join(options),
        out=shlex.quote(str(out)),
    )
