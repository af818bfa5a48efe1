"""The one error a person causes: bad input, told in one line that names the file and the fault."""

from __future__ import annotations

from pathlib import Path


class BadInput(ValueError):
    """A file or a value that cannot be used; the command line prints it in one line and exits with 2.

    Parameters
    ----------
    fault : str
        What is wrong, in one line.
    path : path-like, optional
        The file at fault; it is put before the fault.
    """

    def __init__(self, fault: str, path: str | Path | None = None) -> None:
        self.fault = fault
        self.path = None if path is None else Path(path)
        super().__init__(fault if path is None else f"{path}: {fault}")

    def within(self, path: str | Path) -> BadInput:
        """Return the same error with the file named (for faults found below the reader)."""
        return self if self.path is not None else BadInput(self.fault, path)


class RejectedSubImage(BadInput):
    """A sub-image that breaks the contract; ``reason`` is one of :data:`REASONS`."""

    def __init__(self, reason: str, fault: str, path: str | Path | None = None) -> None:
        self.reason = reason
        super().__init__(fault, path)

    def within(self, path: str | Path) -> RejectedSubImage:
        """Return the same error with the file named."""
        return self if self.path is not None else RejectedSubImage(self.reason, self.fault, path)
