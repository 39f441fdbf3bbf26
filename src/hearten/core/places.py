"""Where things lie on this machine: corpora the user fetched, and files we can make again.

Two folders, each with an environment variable: `HEARTEN_DATA` (corpora; never written but by
`hearten data get`) and `HEARTEN_CACHE` (converted weights and other things a command can rebuild).
"""

import os
from importlib.resources import files
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """A folder under the cache (`HEARTEN_CACHE`, else the system's cache folder), made if missing."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hearten"
    folder = Path(os.environ.get("HEARTEN_CACHE") or default, *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def data_folders() -> list[Path]:
    """Folders searched for corpora, first match wins: `HEARTEN_DATA`, `./data`, a `shared/data` beside."""
    named = os.environ.get("HEARTEN_DATA")
    if named:
        return [Path(named)]
    return [folder for folder in (Path("data"), Path("..", "shared", "data")) if folder.is_dir()]


def find_corpus(*relative: str) -> Path | None:
    """The first of the `relative` paths that exists in a data folder, or None."""
    for folder in data_folders():
        for name in relative:
            if (folder / name).exists():
                return folder / name
    return None


def seeds_file() -> Path:
    """The seed conversations that ship with this installation, as a file.

    Every stage may start from them; what they are is told in `docs/cards/seeds.md`.
    """
    return Path(str(files("hearten") / "data" / "seeds.jsonl"))
