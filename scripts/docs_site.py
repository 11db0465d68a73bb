"""Build the documentation site in ``.cache/site/html``.

::

    python scripts/docs_site.py        in .cache/docs, an environment with docs/requirements.txt
    python -m http.server -d .cache/site/html

The pages are those of ``docs/`` and the three of the root that :data:`ROOT_PAGES` names. They are copied with
links that lead to pages of the site, built with every warning an error, and then looked at as a
browser does: each link has to lead to a file and an anchor, and nothing may be loaded from elsewhere.
Files and folders are named in lower case with hyphens, as their names are in addresses.
``llms.txt`` lists the pages for language models, and ``llms-full.txt`` holds them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
CONFIG = DOCS / "zensical.toml"
SITE = ROOT / ".cache" / "site"
PAGES = SITE / "pages"
HTML = SITE / "html"

#: Pages of the root, and where the site has them. A link to the README leads to the start page.
ROOT_PAGES = {
    ROOT / "CHANGELOG.md": Path("changelog.md"),
    ROOT / "CONTRIBUTING.md": Path("contributing.md"),
    ROOT / "SECURITY.md": Path("reporting.md"),
}
MOVED = {**ROOT_PAGES, ROOT / "README.md": Path("index.md")}

#: What pages show or link to, beside other pages.
ASSETS = (".svg", ".css", ".py", ".yaml", ".conf", ".jsonc", ".png", ".ipynb", "Dockerfile")

_LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)]*)?\))")

#: A file or folder of ``docs/``. ``README.md`` and ``Dockerfile`` are names that other programs look for.
_NAME = re.compile(r"[a-z0-9]+([-.][a-z0-9]+)*|README\.md|Dockerfile")

_COLOUR = re.compile(r"\x1b\[[\d;]*m")

#: Tags that load something, and where they name it.
_LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


def misnamed() -> Iterator[str]:
    """Yield a line for each file or folder whose name is not in lower case with hyphens.

    Programs are named as Python has it: an underscore is a part of a module's name.
    """
    for path in sorted(DOCS.rglob("*")):
        if "__pycache__" not in path.parts and path.suffix != ".py" and not _NAME.fullmatch(path.name):
            yield f"{path.relative_to(ROOT)} is not named in lower case with hyphens"


def page_of(path: Path) -> Path | None:
    """Return where the site has a file of the repository."""
    if path in MOVED:
        return MOVED[path]
    return path.relative_to(DOCS) if path.is_relative_to(DOCS) and path.is_file() else None


def text_of(source: Path, page: Path) -> str:
    """Return the text of a page with links that hold on the site.

    Raises:
        SystemExit: A link leads to a file that the site does not have.
    """

    def link(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        found = page_of((source.parent / target).resolve())
        if found is None:
            raise SystemExit(f"{source.relative_to(ROOT)}: the site has no {target}")
        return f"{before}{os.path.relpath(found, page.parent)}{after}"

    return _LINK.sub(link, source.read_text())


def stage() -> None:
    """Put the sources of the site together."""
    shutil.rmtree(SITE, ignore_errors=True)
    PAGES.mkdir(parents=True)
    shutil.copy(CONFIG, SITE)
    markdown = {source: source.relative_to(DOCS) for source in DOCS.rglob("*.md")}
    for source, page in (markdown | ROOT_PAGES).items():
        (PAGES / page).parent.mkdir(parents=True, exist_ok=True)
        (PAGES / page).write_text(text_of(source, page))
    for source in DOCS.rglob("*"):
        if source.name.endswith(ASSETS):
            copy = PAGES / source.relative_to(DOCS)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)


def build() -> None:
    """Run the generator; a warning ends it."""
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", SITE / CONFIG.name]
    done = subprocess.run(
        command, cwd=SITE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(_COLOUR.sub("", done.stdout))


class Links(HTMLParser):
    """What one page of the site links to, loads and can be linked to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what a tag names."""
        values = dict(attrs)
        for name in ("id", "name"):
            self.anchors.add(values.get(name) or "")
        if tag == "a" and values.get("href"):
            self.links.append(values["href"] or "")
        if target := values.get(_LOADING.get(tag, "")):
            self.loaded.append(target)


def broken_links() -> Iterator[str]:
    """Yield a line for each link without a target, and for each thing that is loaded from elsewhere."""
    pages = {page: Links(page) for page in HTML.rglob("*.html") if page.name != "404.html"}
    for page, found in pages.items():
        here = page.relative_to(HTML)
        for target in [*found.loaded, *found.links]:
            url = urlsplit(target)
            if url.scheme or url.netloc:
                if target in found.loaded:
                    yield f"{here} loads {target}"
                continue
            path = (page.parent / unquote(url.path)).resolve() if url.path else page
            if path.is_dir():
                path /= "index.html"
            if not path.exists():
                yield f"{here} links to {target}, which does not exist"
            elif url.fragment and path in pages and unquote(url.fragment) not in pages[path].anchors:
                yield f"{here} links to {target}, which has no such anchor"


def pages_of(nav: list[Any], section: str = "") -> Iterator[tuple[str, str]]:
    """Yield the section and the path of each page, in the order of the navigation."""
    for entry in nav:
        if isinstance(entry, str):
            yield section, entry
            continue
        ((title, target),) = entry.items()
        if isinstance(target, list):
            yield from pages_of(target, section or title)
        else:
            yield section, target


def title_and_start(text: str) -> tuple[str, str]:
    """Return the title of a page and its first sentence."""
    title = next(line for line in text.splitlines() if line.startswith("# "))
    prose = re.sub(r"^```.*?^```$", "", text.partition(title)[2], flags=re.MULTILINE | re.DOTALL)
    paragraphs = (part.strip() for part in prose.split("\n\n"))
    start = next(
        (part for part in paragraphs if part and not part.startswith(("#", "|", "!", ":", "* ", "- "))), ""
    )
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(start.replace("**", "").split()))
    return title[2:], re.split(r"(?<=[.:])\s", plain, maxsplit=1)[0].rstrip(":")


def write_texts_for_models(config: dict[str, Any]) -> None:
    """Write ``llms.txt`` and ``llms-full.txt``, as llmstxt.org describes them, and the pages as Markdown."""
    project = config["project"]
    short = [f"# {project['site_name']}", "", f"> {project['site_description']}"]
    full = [*short]
    last = ""
    for section, path in pages_of(project["nav"]):
        text = (PAGES / path).read_text()
        title, start = title_and_start(text)
        if section != last:
            short += ["", f"## {section}", ""]
            last = section
        short += ["", f"- [{title}]({path}): {start}"] if not section else [f"- [{title}]({path}): {start}"]
        full += ["", f"<!-- {path} -->", "", text.strip()]
        copy = HTML / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text)
    (HTML / "llms.txt").write_text("\n".join(short) + "\n")
    (HTML / "llms-full.txt").write_text("\n".join(full) + "\n")


def main() -> int:
    """Build the site and return the exit code."""
    config = tomllib.loads(CONFIG.read_text())
    stage()
    unlisted = {str(page.relative_to(PAGES)) for page in PAGES.rglob("*.md")}
    unlisted -= {path for _, path in pages_of(config["project"]["nav"])}
    build()
    write_texts_for_models(config)
    hidden = (f"{page} is not in the navigation" for page in sorted(unlisted))
    problems = [*hidden, *misnamed(), *broken_links()]
    print(*problems, sep="\n", end="\n" if problems else "")
    print(f"{len(list(HTML.rglob('*.html')))} pages in {HTML.relative_to(ROOT)}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
