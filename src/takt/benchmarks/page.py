"""The frame of every report: one self-contained page that follows light and dark."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files


def page(title: str, header: str, sections: Sequence[str], footer: str) -> str:
    """The whole page; `header`, `sections` and `footer` are HTML."""
    style = files("takt.benchmarks").joinpath("report.css").read_text()
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>"
        f'{header}<div class="grid">{"".join(sections)}</div>{footer}'
        "</main></body></html>\n"
    )


def card(title: str, note: str, body: str, classes: str = "") -> str:
    """A section: `title` and `note` are text, `body` is HTML."""
    return (
        f'<section class="card {classes}"><h2>{escape(title)}</h2>'
        f'<p class="note">{escape(note)}</p>{body}</section>'
    )
