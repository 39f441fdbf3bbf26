"""What every test may need: a way to say that a machine lacks a tool, which CI is not allowed to say."""

import os

import pytest


def require(name: str, present: object) -> None:
    """Skip the test where `name` is missing; with CI=true that is a failure instead.

    Args:
        name: the tool or file, as the reader of a skipped test should see it.
        present: anything true if it is there.
    """
    if present:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is missing, and in CI nothing may be skipped")
    pytest.skip(f"{name} is not on this machine")
