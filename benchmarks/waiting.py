"""Tokens per second of the chat engine beside other work, by how long waiting threads spin.

`python benchmarks/waiting.py` lets the embedded model talk in processes of its own, in turns: with OpenMP's
default and with `sleep_soon`'s thousand turns, each beside `--busy` processes that only compute.
With `--busy 0` on a quiet machine it shows what sleeping soon costs there. `--quick` is a smoke test.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

from hearten.lm.waiting import TURNS, VARIABLE

TALK = """
import time
from hearten.core.chat import Sampling
from hearten.lm.embedded import embedded_gguf
from hearten.lm.engine import Engine, EngineConfig
engine = Engine(embedded_gguf(), EngineConfig(context=512, threads=2))
prompt, sampling = list(range(1000, 1040)), Sampling(temperature=0, max_tokens=SIZE)
engine.complete(prompt, Sampling(max_tokens=1))
start, count = time.perf_counter(), 0
for _ in engine.stream(prompt, sampling, banned=[2]):
    count += 1
    if time.perf_counter() - start > SECONDS:
        break
print(count / (time.perf_counter() - start))
"""


def talk(environment: dict[str, str], size: int, seconds: float) -> float:
    """Tokens per second in a process with these variables."""
    script = TALK.replace("SIZE", str(size)).replace("SECONDS", str(seconds))
    done = subprocess.run([sys.executable, "-c", script], env={**os.environ, **environment},
                          capture_output=True, text=True, check=True, timeout=300)  # fmt: skip
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test: one round, few tokens")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=1, help="processes that compute meanwhile")
    chosen = parser.parse_args()
    rounds, size, seconds = (1, 4, 2.0) if chosen.quick else (chosen.rounds, 200, 6.0)
    os.environ.pop(VARIABLE, None)
    # the default of libgomp for threads that have a core each; the engine itself would set its own
    ways = {"library's default": {VARIABLE: "300000"}, "sleep_soon": {VARIABLE: TURNS}}
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(chosen.busy)]
    try:
        time.sleep(0.5)
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, environment in ways.items():
                found[way].append(talk(environment, size, seconds))
    finally:
        for process in busy:
            process.kill()
    medians = {way: statistics.median(speeds) for way, speeds in found.items()}
    print(f"beside {chosen.busy} busy processes; load average {os.getloadavg()[0]:.1f}")
    for way, speed in medians.items():
        print(f"  {way:<20} {speed:6.1f} tokens/s   {speed / medians[next(iter(ways))]:.2f}")


if __name__ == "__main__":
    main()
