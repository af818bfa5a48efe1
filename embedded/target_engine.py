"""An emulated machine as an engine: N sub-images in, score, verdict and reason of each out.

The planes are linked into the program as they are; it runs ``slewguard_judge`` over them with one state for each
event, as flight software does, and prints the answers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray

from slewguard.embedded.generate import NETWORK, SELFTEST, Printer, Style
from slewguard.embedded.target import Target, load_target, run_tool
from slewguard.export.backends import EngineUnavailable
from slewguard.export.model import IntegerModel
from slewguard.subimages.errors import BadInput

_AT_ONCE = 128
"""Sub-images in one program: 1.2 MB of the machine's memory."""

_PROGRAM = Template("""\
#include "slewguard.h"
#include "target.h"

#define COUNT ${count}u
#define EVENTS ${events}u

__asm__(".section .rodata\\n.balign 8\\n.global judged_planes\\n"
        "judged_planes:\\n.incbin \\"${planes}\\"\\n.previous\\n");
extern const int8_t judged_planes[];
static const uint16_t event[COUNT] = {
    $numbers
};
static slewguard_sequence_t states[EVENTS];
static uint32_t scratch[SLEWGUARD_SCRATCH_WORDS];

static void put_byte(uint32_t value)
{
    target_put("0123456789abcdef"[(value >> 4) & 15u]);
    target_put("0123456789abcdef"[value & 15u]);
}

void target_trapped(uint32_t number)
{
    target_put('!');
    put_byte(number);
    target_put('\\n');
    target_exit();
}

int main(void)
{
    for (uint32_t i = 0; i < EVENTS; i++) {
        slewguard_begin(&states[i]);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        slewguard_answer_t answer;

        (void)slewguard_judge(
            &slewguard_weights, judged_planes + i * SLEWGUARD_PLANES_BYTES, scratch, &states[event[i]], &answer);
        put_byte((uint32_t)((int32_t)answer.score + 128));
        put_byte(answer.verdict);
        put_byte(answer.reason);
        target_put('\\n');
    }
    target_put('.');
    target_put('\\n');
    return 0;
}
""")


class TargetBackend:
    """The generated C on an emulated machine.

    Parameters
    ----------
    model : IntegerModel
    target : Target
    style : str
        ``plain`` or ``fast``.

    Raises
    ------
    EngineUnavailable
        If a tool is missing here.
    BadInput
        If the model has no such C.
    """

    def __init__(self, model: IntegerModel, target: Target, style: Style = "fast") -> None:
        try:
            target.require()
        except BadInput as error:
            raise EngineUnavailable(error.fault) from error
        self.name = target.name
        self.version = run_tool([target.emulator[0], "--version"]).splitlines()[0]
        self._target = target
        self._files = Printer(model, style).files()

    def score(self, planes: NDArray[np.int8]) -> NDArray[np.int8]:
        """Scores of N sub-images, int8 [N]."""
        return self.judge(planes, np.arange(len(planes)))[0]

    def judge(
        self, planes: NDArray[np.int8], sequence: NDArray[np.integer]
    ) -> tuple[NDArray[np.int8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Score, verdict and reason of N sub-images.

        Parameters
        ----------
        planes : int8 array [N, 3, 56, 56]
        sequence : integer array [N]
            Number of the event of each, in order of time.

        Returns
        -------
        score : int8 array [N]
        verdict, reason : uint8 arrays [N]
        """
        answers = np.zeros((len(planes), 3), dtype=np.int64)
        with tempfile.TemporaryDirectory(prefix="slewguard-engine-") as name:
            folder = Path(name)
            network = self._compiled(folder)
            for rows in _portions(sequence):
                answers[rows] = self._run(folder, network, planes[rows], sequence[rows])
        score, verdict, reason = answers.T
        return (score - 128).astype(np.int8), verdict.astype(np.uint8), reason.astype(np.uint8)

    def _compiled(self, folder: Path) -> list[Path]:
        for name, content in self._files.items():
            (folder / name).write_bytes(content)
        return self._target.compile([folder / name for name in (*NETWORK, *SELFTEST)], self._target.best, folder)

    def _run(
        self, folder: Path, network: list[Path], planes: NDArray[np.int8], sequence: NDArray[np.integer]
    ) -> NDArray[np.int64]:
        _, event = np.unique(sequence, return_inverse=True)
        (folder / "planes.bin").write_bytes(np.ascontiguousarray(planes).tobytes())
        program = _PROGRAM.substitute(
            count=len(planes),
            events=int(event.max()) + 1,
            planes=folder / "planes.bin",
            numbers=", ".join(str(number) for number in event.tolist()),
        )
        (folder / "judged.c").write_text(program, encoding="ascii")
        include = ("-O1", f"-I{self._target.folder.parent}")
        rest = self._target.compile([folder / "judged.c"], include, folder)
        elf = folder / "judged.elf"
        self._target.link([*network, *rest], elf)
        lines = self._target.run(elf, ()).split()
        if len(lines) != len(planes) + 1 or lines[-1] != ".":
            raise BadInput(f"target {self.name} stopped with {lines[-1] if lines else 'no output'!r}")
        return np.array([[int(line[i : i + 2], 16) for i in (0, 2, 4)] for line in lines[:-1]])


def _portions(sequence: NDArray[np.integer]) -> Iterator[NDArray[np.int64]]:
    """Indices of whole events, together at most so many sub-images, or one event."""
    order = np.argsort(sequence, kind="stable")
    starts = np.unique(sequence[order], return_index=True)[1]
    portion: list[int] = []
    for rows in np.split(order, starts[1:]) if len(order) else ():
        if portion and len(portion) + len(rows) > _AT_ONCE:
            yield np.array(portion)
            portion = []
        portion += rows.tolist()
    if portion:
        yield np.array(portion)


def open_target_backend(model: IntegerModel, name: str) -> TargetBackend:
    """Load a model into an emulated machine; raises as :class:`TargetBackend`."""
    return TargetBackend(model, load_target(name))
