"""The feed's front page: which tables there are, up to when, and where to get them; for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from connectors.feed_store import Cut, iso
from connectors.formats.words import word

_STYLE = """
:root { color-scheme: light dark; --line: #d5dbe3; --soft: #5b6776; --ink: #17202b; --paper: #f6f8fa; --card: #fff;
        --link: #0b5cad; --warn: #8a5a00; --warn-paper: #fff6e0; }
@media (prefers-color-scheme: dark) {
  :root { --line: #333d49; --soft: #9aa7b6; --ink: #e8edf3; --paper: #12171d; --card: #1a212a; --link: #7ab8ff;
          --warn: #f0c268; --warn-paper: #2c2412; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.25rem; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 0; }
p { margin: .25rem 0; }
a { color: var(--link); }
.soft { color: var(--soft); }
.cut { display: flex; flex-wrap: wrap; gap: .25rem 2rem; margin: 1.25rem 0; }
.cut b { font-variant-numeric: tabular-nums; }
.warn { background: var(--warn-paper); color: var(--warn); border-left: 4px solid; padding: .6rem .9rem; }
article { display: grid; grid-template-columns: 4rem 1fr; gap: .25rem 1rem; background: var(--card);
          border: 1px solid var(--line); border-radius: .5rem; padding: 1rem 1.25rem; margin: 1rem 0; }
article > strong { font-size: 1.2rem; }
nav a { display: inline-block; margin: .5rem .9rem 0 0; }
footer { border-top: 1px solid var(--line); margin-top: 2rem; padding-top: 1rem; }
@media (max-width: 36rem) { article { grid-template-columns: 1fr; } }
"""

_LINKS = (
    ("text", "?format=text&lang={lang}"),
    ("CSV", "?format=csv"),
    ("SDMX-CSV 2.0", "?format=sdmx-csv"),
    ("JSON", "?format=json"),
    ("changes", "/changes?format=text&lang={lang}"),
)


class Entry(NamedTuple):
    """A table on the page."""

    id: str
    title: Mapping[str, str]  # by language
    freq: str
    periods: tuple[str, str] | None  # first and last; None: no figure yet


def page(entries: Sequence[Entry], languages: Sequence[str], recipient: str, cut: Cut | None, generation: int) -> str:
    """Return the page as HTML, with titles in the convention's languages, the first one leading."""
    shown = iso(cut.tick).replace("T", " ").replace("Z", " UTC") if cut else "none yet"
    first = languages[0]
    return f"""<!doctype html>
<html lang="{escape(first)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>migex: {escape(recipient)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>migex</h1>
<p class="soft">Migration figures for {escape(recipient)}</p>
<div class="cut"><span>Latest cut <b>{shown}</b></span><span>Generation <b>{generation}</b></span></div>
<p class="warn">{"<br>".join(escape(word("unprotected", lang)) for lang in languages)}</p>
{"".join(_article(entry, languages) for entry in entries)}
<footer class="soft">
<a href="/v1/tables">tables</a> · <a href="/v1/books">books</a> · <a href="/v1/cuts">cuts</a> ·
<a href="/openapi.json">OpenAPI</a> · <a href="/health">health</a> · <a href="/metrics">metrics</a>
</footer>
</main>
</body>
</html>
"""


def _article(entry: Entry, languages: Sequence[str]) -> str:
    titles = [(lang, entry.title[lang]) for lang in languages if lang in entry.title]
    (lead, heading), *others = titles
    periods = f"{entry.periods[0]} – {entry.periods[1]}" if entry.periods else "–"
    links = "".join(
        f'<a href="/v1/tables/{entry.id}{escape(path.format(lang=lead))}">{escape(name)}</a>' for name, path in _LINKS
    )
    subtitles = "".join(f'<p lang="{lang}" class="soft">{escape(title)}</p>' for lang, title in others)
    return f"""<article><strong>{escape(entry.id)}</strong><div>
<h2 lang="{lead}">{escape(heading)}</h2>{subtitles}
<p>{escape(word(entry.freq, lead))}: {escape(periods)}</p>
<nav>{links}</nav>
</div></article>
"""
