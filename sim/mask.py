"""Self-supporting mask patterns: holes of one and two cells in one connected plate.

The flight pattern is unpublished. What is known of it: 46x46 cells, 40 % open, a plate that carries itself. Here no
open cell of the finished pattern has more than one open edge neighbour, and the opaque part with the frame about it
is 4-connected. The autocorrelation of about -0.25 at one cell asks for holes of two cells nearly throughout.

Why 40 % is near the end of what such a plate can have: on ``n`` cells a side a hole of one cell takes 3 and one of
two cells takes 5 of the ``(n + 1)**2 - 1`` independent cycles of the opaque part (Euler's formula), so that at most
2 of 5 cells can be open where n is large, and 41.7 % for n = 46. Opening cells in random order jams at 37 %. The
search below clears a small window and fills it anew in random order, and keeps that unless it lost open cells, or
else holes of two, or else their balance between the axes.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.errors import BadInput

_WINDOW = 5
"""Side of the window that is filled anew: 4 to 6 take 0.6 s for 40 %, 8 takes twice as long (measured)."""
_DOUBLE = 0.94
"""Least share of open cells in holes of two: autocorrelation -0.25 at one cell, against -0.28 at 0.87 (measured)."""
_MAX_STEPS = 50_000
"""Some 10,000 are needed for 40 % of 46x46 cells (measured)."""
_EIGHT = np.ones((3, 3), dtype=np.int64)


@lru_cache(maxsize=32)
def mask_pattern(seed: int, cells: int, open_fraction: float, cross_cells: int = 0) -> NDArray[np.bool_]:
    """Self-supporting mask pattern: True where a cell is open.

    Parameters
    ----------
    seed : int
        Seed of the search.
    cells : int
        Cells per side.
    open_fraction : float
        Share of open cells outside the cross; 0.40 takes about a second.
    cross_cells : int
        Opaque rows, and columns, in the middle.

    Returns
    -------
    bool array [cells, cells]
        Every open cell has at most one open edge neighbour; the opaque cells and the frame are 4-connected.

    Raises
    ------
    BadInput
        If the share cannot be reached, or is not within 50,000 steps.
    """
    allowed = np.ones((cells, cells), dtype=bool)
    bar = slice((cells - cross_cells) // 2, (cells + cross_cells) // 2)
    allowed[bar] = allowed[:, bar] = False
    wanted = round(open_fraction * int(allowed.sum()))
    if 5 * wanted > 2 * ((cells + 1) ** 2 - 1):
        raise BadInput(f"no self-supporting mask of {cells}x{cells} cells has {open_fraction:.1%} open cells")
    rng = np.random.Generator(np.random.Philox(key=[seed, 0x6D61736B]))
    plate = _Plate(allowed, wanted)
    plate.fill(rng, rng.permutation(np.flatnonzero(plate.framed)).tolist())
    for _ in range(_MAX_STEPS):
        if plate.done:
            break
        row, column = (int(i) for i in rng.integers(2 - _WINDOW, cells + 1, 2))
        plate.refill(rng, row, column)
    else:
        raise BadInput(f"no self-supporting mask with {open_fraction:.1%} open cells found from seed {seed}")
    pattern = plate.pattern()
    pattern.setflags(write=False)
    return pattern


class _Plate:
    """A plate within an opaque frame, as flat lists, which Python walks faster than small arrays."""

    def __init__(self, allowed: NDArray[np.bool_], wanted: int) -> None:
        self.framed = np.pad(allowed, 1)
        self.width = w = self.framed.shape[1]
        self.wanted = wanted
        self._allowed = self.framed.ravel().tolist()
        self._open = bytearray(self.framed.size)
        self._edges = (1, w, -1, -w)
        self._corners = (w + 1, w - 1, 1 - w, -w - 1)
        self._count = self._along_y = self._along_z = 0
        self._tilt = max(2, wanted // 100)

    @property
    def done(self) -> bool:
        """Whether enough cells are open, in enough holes of two, of which as many lie along y as along z."""
        count, doubles, tilt = self._merit()
        return count == self.wanted and doubles >= int(_DOUBLE * self.wanted / 2) and -tilt <= self._tilt

    def pattern(self) -> NDArray[np.bool_]:
        return self._grid()[1:-1, 1:-1].astype(bool)

    def refill(self, rng: np.random.Generator, row: int, column: int) -> None:
        """Clear the window whose first cell is given and fill it anew; take that back where the plate got worse."""
        merit, last = self._merit(), self.width - 1
        rows = np.arange(max(row, 1), min(row + _WINDOW, last))
        columns = np.arange(max(column, 1), min(column + _WINDOW, last))
        window = rng.permutation((rows[:, None] * self.width + columns).ravel()).tolist()
        before = [v for v in window if self._open[v]]
        for v in before:
            self._flip(v, -1)
        after = self.fill(rng, window)
        if self._merit() < merit:
            for v in after:
                self._flip(v, -1)
            for v in before:
                self._flip(v, 1)

    def fill(self, rng: np.random.Generator, order: list[int]) -> list[int]:
        """Open the cells that may be opened, each with one neighbour where one may, until enough are open."""
        from scipy.ndimage import label

        group = label(self._grid(), _EIGHT)[0].ravel().tolist()
        joined: dict[int, int] = {}
        opened: list[int] = []
        for v, turn in zip(order, rng.integers(4, size=len(order)).tolist(), strict=True):
            if self._try(v, group, joined, opened):
                for k in range(4):
                    if self._try(v + self._edges[turn - k], group, joined, opened):
                        break
        return opened

    def _try(self, v: int, group: list[int], joined: dict[int, int], opened: list[int]) -> bool:
        is_open = self._open
        if is_open[v] or not self._allowed[v] or self._count == self.wanted:
            return False
        touching = [v + o for o in self._edges if is_open[v + o]]
        if len(touching) > 1 or any(is_open[u + o] for u in touching for o in self._edges):
            return False
        # A new cell cuts the opaque part where it closes a ring of open cells, that is where it touches one
        # 8-connected group of them twice.
        about = []
        for u in touching + [v + o for o in self._corners if is_open[v + o]]:
            g = group[u]
            while g in joined:
                g = joined[g]
            if g in about:
                return False
            about.append(g)
        fresh = -1 - len(opened)
        for g in about:
            joined[g] = fresh
        group[v] = fresh
        self._flip(v, 1)
        opened.append(v)
        return True

    def _flip(self, v: int, step: int) -> None:
        """Open (1) or close (-1) a cell."""
        is_open, w = self._open, self.width
        is_open[v] = step > 0
        self._count += step
        self._along_y += step * (is_open[v + 1] + is_open[v - 1])
        self._along_z += step * (is_open[v + w] + is_open[v - w])

    def _merit(self) -> tuple[int, int, int]:
        return self._count, self._along_y + self._along_z, -max(abs(self._along_y - self._along_z), self._tilt)

    def _grid(self) -> NDArray[np.uint8]:
        return np.frombuffer(bytes(self._open), dtype=np.uint8).reshape(-1, self.width)
