"""The one error a person causes: bad input, told in one line that names the file and the fault."""

from __future__ import annotations

from pathlib import Path


def printable(text: str) -> str:
    """Return a text with every character that does not print as its escape code."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class BadInput(ValueError):
    """A file or a value that cannot be used; the command line prints it in one line and exits with 2.

    Parameters
    ----------
    fault : str
        What is wrong, in one line. What cannot be printed in it (names come from hostile files: a line break, the
        control sequences of a terminal) is written as its code.
    path : path-like, optional
        The file at fault; it is put before the fault.
    """

    def __init__(self, fault: str, path: str | Path | None = None) -> None:
        fault = printable(fault)
        self.fault = fault
        self.path = None if path is None else Path(path)
        super().__init__(fault if path is None else f"{printable(str(path))}: {fault}")

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
