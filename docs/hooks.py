"""What MkDocs does to a page of these besides rendering it."""

from __future__ import annotations

import posixpath
import re
from typing import Any

ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):(?=<code>)")
LINK = re.compile(r"(\]\()((?:\.\./)+[^)#\s]+)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Links that leave docs/ lead to the repository; in a checkout and on its host they are good as they are."""
    folder = posixpath.dirname(page.file.src_uri)

    def outside(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", folder, found[2]))
        return found[0] if path.startswith("docs/") else f"{found[1]}{config.repo_url}/blob/main/{path}"

    return LINK.sub(outside, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Sphinx's roles in docstrings are left out."""
    return ROLE.sub("", html)
