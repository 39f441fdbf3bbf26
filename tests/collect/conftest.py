"""A whole server in the test's own process, and fixtures for the people of `walking.py`."""

import sys
from pathlib import Path

import pytest
import walking
from fastapi.testclient import TestClient

from hearten.app import create
from hearten.collect.study import load_study

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture
def run_app(tmp_path):
    """Start an app for a study; stopped at the end of the test."""
    started = []

    def run(text: str = walking.STUDY, **changes):
        app = create(walking.settings(tmp_path, text, **changes), walking.Echo)
        app.state.study = load_study(tmp_path / "study.toml")
        client = TestClient(app)
        client.__enter__()
        app.state.portal = client.portal
        started.append(client)
        return app

    yield run
    for client in started:
        client.__exit__(None, None, None)


@pytest.fixture
def app(run_app):
    return run_app()


@pytest.fixture
def person(app):
    """A browser that has not been here before."""
    return walking.Participant(app)
