"""Where the made-up corpora lie, and the real one if this machine has it."""

from pathlib import Path

import pytest

from hearten.core.places import find_corpus


@pytest.fixture(scope="session")
def esconv_file() -> Path:
    """The real ESConv."""
    found = find_corpus("esconv/ESConv.json.gz", "esconv/ESConv.json")
    if found is None:
        pytest.skip("the real ESConv is not here: set HEARTEN_DATA or put it in ../shared/data")
    return found
