"""What every test may need: a way to say that a machine lacks a tool, which CI is not allowed to say."""

import os
from collections.abc import Callable

import pytest


@pytest.fixture
def require() -> Callable[[str, object], None]:
    """`require(name, present)` skips the test where a tool or file is missing; with CI=true it fails
    instead.
    """

    def check(name: str, present: object) -> None:
        if present:
            return
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing, and in CI nothing may be skipped")
        pytest.skip(f"{name} is not on this machine")

    return check
