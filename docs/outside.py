"""For the site: what lies outside docs/ and is linked from it.

A link such as `../examples/own_method.py` works where the repository is read. On the site its target becomes a page made
here, and the link is turned to it, whichever page it stands on. A link to anything else outside docs/ fails the build.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changes.md"} | {
    f"examples/{path.name}": f"examples/{path.stem}.md" for path in sorted((ROOT / "examples").glob("*.py"))
}
INSTEAD = PAGES | {"README.md": "index.md", "examples": "researcher.md"}
LINK = re.compile(r"(\]\()([^)#\s:]+)((?:[#\s][^)]*)?\))")
FENCE = re.compile(r"^(```.*?^```\s*?$)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every example into the navigation."""
    examples = [page for page in PAGES.values() if page.startswith("examples/")]
    for section in config.nav or []:
        for entry in section.get("Project", []) if isinstance(section, dict) else []:
            if isinstance(entry, dict) and "Examples" in entry:
                entry["Examples"] = examples
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        if source.endswith(".py"):
            text = f"# {source}\n\n`python {source}` runs it.\n\n```python\n{text}```\n"
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page, but for what stands in its code."""
    here = page.file.src_uri
    lies = next((source for source, made in PAGES.items() if made == here), f"docs/{here}")
    parts = FENCE.split(markdown)
    return "".join(part if part.startswith("```") else turned(part, lies=lies, here=here) for part in parts)


def turned(markdown: str, *, lies: str, here: str) -> str:
    """Markdown of a file that lies at one place in the repository and is the page ``here`` of the site."""

    def turn(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(lies), match[2]))
        site = INSTEAD.get(target) or target.removeprefix("docs/")
        if site == target:  # outside docs/, and nothing instead
            return match[0]
        return match[1] + posixpath.relpath(site, posixpath.dirname(here) or ".") + match[3]

    return LINK.sub(turn, markdown)
