"""The docs are held to the code: links lead somewhere, commands exist, named files are there."""

import re
from pathlib import Path

import pytest

from hearten.cli import COMMANDS, Verb

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("experiments/*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def commands(text: str) -> list[tuple[str, ...]]:
    """`hearten …` as written in code: the words after it that may be a stage and a verb."""
    code = re.findall(r"```.*?```|`[^`\n]+`", text, flags=re.S)
    found = re.findall(r"(?:^|[\s`(;])hearten ([a-z]+)(?: ([a-z]+))?", "\n".join(code), flags=re.M)
    return [tuple(word for word in pair if word) for pair in found]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} → {target}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_exist(page: Path) -> None:
    for words in commands(page.read_text(encoding="utf-8")):
        entry = COMMANDS.get(words[0])
        assert entry is not None, f"{page.name}: hearten {' '.join(words)}"
        if not isinstance(entry, Verb) and len(words) > 1:
            assert words[1] in entry, f"{page.name}: hearten {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_of_the_package_that_are_named_exist(page: Path) -> None:
    """`data/statistics.py` and the like, as docs/papers.md writes them, relative to the package."""
    for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|toml|jsonl))`", page.read_text(encoding="utf-8")):
        assert any((root / name).exists() for root in (ROOT, ROOT / "src" / "hearten")), (
            f"{page.name}: {name}"
        )


def test_every_label_of_the_makefile_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme
    assert "make test" in readme
