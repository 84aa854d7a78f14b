"""Small JSON files that tell others where a simulator listens and what it has done.

Knows how to replace a file whole. Does not know its content.
"""

import json
from pathlib import Path
from typing import Final

STATE_EVERY_S: Final = 5.0


def write_json(path: Path, content: object) -> None:
    """Write and only then put in place: a reader never sees half of it. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    part.replace(path)
