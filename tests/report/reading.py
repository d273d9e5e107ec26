"""A page as a screen reader or a browser takes it apart."""

from __future__ import annotations

import base64
from html.parser import HTMLParser

Attributes = dict[str, str]
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Reading(HTMLParser):
    """Tags in order with their attributes, headings with their texts, and whether all were closed."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, Attributes]] = []
        self.texts: list[tuple[str, str]] = []
        self.parents: list[tuple[str, tuple[str, ...]]] = []
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} says an attribute twice"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self.parents.append((tag, tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes what is not open"

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        elif data.strip() and self.open:
            self.texts.append((self.open[-1], data.strip()))

    def all(self, *names: str) -> list[tuple[str, Attributes]]:
        return [(tag, attributes) for tag, attributes in self.tags if tag in names]

    def said(self, *names: str) -> list[str]:
        return [text for tag, text in self.texts if tag in names]

    @property
    def alts(self) -> list[str]:
        return [attributes["alt"] for _, attributes in self.all("img")]

    @property
    def pictures(self) -> list[bytes]:
        return [base64.b64decode(a["src"].partition("base64,")[2]) for _, a in self.all("img")]
