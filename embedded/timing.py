"""A program around the generated C that times it, so that its cold start and memory are those of C, not of Python."""

from __future__ import annotations

import tempfile
from pathlib import Path
from string import Template

from slewguard.embedded.generate import NETWORK, Printer, Style
from slewguard.embedded.host import FLAGS, OPTIMISATION, compiler_version, find_tool
from slewguard.embedded.target import run_tool
from slewguard.export.model import IntegerModel

_PROGRAM = Template("""\
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "slewguard.h"

#define INPUTS $inputs

static int8_t inputs[INPUTS][SLEWGUARD_PLANES_BYTES];
static uint32_t scratch[SLEWGUARD_SCRATCH_WORDS];
static long long taken[$calls][3];

static long long now(clockid_t clock)
{
    struct timespec time;

    (void)clock_gettime(clock, &time);
    return (long long)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Up to `calls` calls, at least one, no new one after `limit` nanoseconds. */
static long repeat(long calls, long long limit)
{
    const long long begun = now(CLOCK_MONOTONIC);
    long done = 0;

    while (done < calls && (done == 0 || now(CLOCK_MONOTONIC) - begun < limit)) {
        const long long cpu = now(CLOCK_PROCESS_CPUTIME_ID);
        const long long wall = now(CLOCK_MONOTONIC);

        taken[done][2] = slewguard_score(&slewguard_weights, inputs[done % INPUTS], scratch);
        taken[done][0] = now(CLOCK_MONOTONIC) - wall;
        taken[done][1] = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
        done++;
    }
    return done;
}

int main(int argc, char **argv)
{
    const long long begun = now(CLOCK_MONOTONIC);
    long calls = 1;
    long long limit = 0;
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;

    if (file == NULL || fread(inputs, sizeof inputs, 1, file) != 1) {
        return 2;
    }
    (void)fclose(file);
    (void)printf("C %lld\\n", now(CLOCK_MONOTONIC) - begun);
    do {
        if (calls < 1 || calls > $calls) {
            return 2;
        }
        const long long start = now(CLOCK_MONOTONIC);
        const long done = repeat(calls, limit);

        (void)printf("%ld %lld\\n", done, now(CLOCK_MONOTONIC) - start);
        for (long i = 0; i < done; i++) {
            (void)printf("%lld %lld %lld\\n", taken[i][0], taken[i][1], taken[i][2]);
        }
        (void)fflush(stdout);
    } while (scanf("%ld %lld", &calls, &limit) == 2);
    return 0;
}
""")


def build_timing_program(model: IntegerModel, place: Path, inputs: int, calls: int, style: Style = "plain") -> str:
    """Build a program that times the model as the latency workers do.

    It reads its inputs from a file, int8 [N, 3, 56, 56], makes one call, and then as many as each line of its standard
    input asks for.

    Parameters
    ----------
    model : IntegerModel
    place : Path
        The program.
    inputs : int
        Sub-images in its file.
    calls : int
        Most calls that one line may ask for.
    style : str

    Returns
    -------
    str
        Compiler and flags.

    Raises
    ------
    BadInput
        If there is no C compiler, or the model has no form in that style.
    """
    files = Printer(model, style).files()
    flags = (*FLAGS, "-D_POSIX_C_SOURCE=199309L", *OPTIMISATION)
    with tempfile.TemporaryDirectory(prefix="slewguard-c-") as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        (folder / "timing.c").write_text(_PROGRAM.substitute(inputs=inputs, calls=calls), encoding="ascii")
        sources = [folder / source for source in (*NETWORK, "timing.c")]
        run_tool([find_tool("cc", "gcc"), *flags, *sources, "-o", place])
    return f"{compiler_version()}, {' '.join(OPTIMISATION)}"
