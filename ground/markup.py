"""HTML that cannot be broken out of: whatever is not markup made here is escaped, content and attributes alike."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

# Control characters, and those by which text can change the direction of what stands beside it.
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_VOID = frozenset({"meta", "img", "br", "link"})


class Html(str):
    """Markup made by :func:`tag`, :func:`join` or trusted constants of the program; any other string is text."""

    __slots__ = ()


Content: TypeAlias = "str | int | float | None"


def text(content: Content) -> Html:
    """Escape anything that is not markup already; characters that are not seen become a replacement character."""
    if isinstance(content, Html):
        return content
    return Html(html.escape(_UNSEEN.sub("\ufffd", "" if content is None else str(content)), quote=True))


def tag(name: str, /, *content: Content, **attributes: Content) -> Html:
    """Return an element.

    Parameters
    ----------
    name : str
    content : str or Html
        Escaped unless markup.
    attributes : str, int or float
        Escaped; one that is None is left out, ``class_`` stands for ``class``, ``_`` for ``-``.
    """
    inner = "".join(text(part) for part in content)
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{given}>" if name in _VOID else f"<{name}{given}>{inner}</{name}>")


def join(parts: Iterable[Content]) -> Html:
    """Put parts one behind the other."""
    return Html("".join(text(part) for part in parts))


def table(header: Sequence[Content], rows: Iterable[Sequence[Content]], *, words: int = 1, caption: str = "") -> Html:
    """Return a table whose first columns hold words and the others figures, aligned to the right.

    Parameters
    ----------
    header : sequence
    rows : iterable of sequence
    words : int
        How many columns hold words.
    caption : str
    """

    def row(name: str, cells: Sequence[Any]) -> Html:
        made = (tag(name, cell, class_=None if i < words else "n") for i, cell in enumerate(cells))
        return tag("tr", *made)

    head = tag("thead", row("th", header))
    body = tag("tbody", *(row("td", cells) for cells in rows))
    about = tag("caption", caption) if caption else ""
    return tag("div", tag("table", about, head, body), class_="scroll")


def facts(pairs: Iterable[tuple[Content, Content]], *, tight: bool = False) -> Html:
    """Return a list of names and what they are, in two columns where it is tight."""
    shown = (join((tag("dt", name), tag("dd", value))) for name, value in pairs)
    return tag("dl", *shown, class_="tight" if tight else None)
