"""README as a package index can show it: there a link or a picture needs the whole address of the repository.

The address is `Repository` in [project.urls] of pyproject.toml. As long as it is not set, links become plain text and
pictures are left out, for a link that leads nowhere is worse than none.
"""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface


class ReadmeHook(MetadataHookInterface):
    def update(self, metadata):
        """Set metadata["readme"]."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        home = metadata.get("urls", {}).get("Repository")
        metadata["readme"] = {"content-type": "text/markdown", "text": for_an_index(text, home)}


def for_an_index(text, home=None):
    """Markdown whose relative links lead to the repository at the address home, or nowhere if there is none."""

    def whole(match):
        mark, label, target = match.groups()
        if home:
            return f"{mark}[{label}]({home.rstrip('/')}/{'raw' if mark else 'blob'}/HEAD/{target})"
        return "" if mark else label

    return re.sub(r"(!?)\[([^\]]*)\]\((?!https?:|mailto:|#)([^)\s]+)\)", whole, text)
