"""A small edition of `benchmarks/collect.py` for every run: real servers, killed under load, nothing lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import throwaway_postgres

pytestmark = pytest.mark.slow
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "collect.py"


def run(*args: str) -> dict:
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), *args], capture_output=True, text=True, timeout=240
    )
    assert done.stdout, done.stderr[-2000:]
    result = json.loads(done.stdout)
    assert result["acknowledged"] == result["sent"] > 0, result
    for name in ("lost", "doubled", "disordered", "not_seen_by_partner", "gaps"):
        assert result[name] == 0, result
    return result


def test_kill_9_of_the_server_under_load():
    assert run("--rooms", "8", "--seconds", "14", "--kills", "2", "--cuts", "0.05")["server_kills"] == 2


def test_kill_9_of_the_database_under_load_of_two_servers(require):
    require("PostgreSQL", throwaway_postgres.binaries())
    options = ("--database", "postgresql", "--servers", "2", "--rooms", "8", "--seconds", "14")
    assert run(*options, "--database-kills", "1", "--kills", "1")["database_kills"] == 1
