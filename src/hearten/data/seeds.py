"""The project's own seed conversations, and the corpus to train on when a command is not told which.

The seeds are original, labelled with ExTES's strategies, and ship with the package, so that everything
runs on a machine that has no corpus.
"""

from functools import cache
from pathlib import Path

from hearten.core.conversation import Conversation
from hearten.core.errors import Failure
from hearten.core.jsonl import read_records
from hearten.core.places import find_corpus, seeds_file
from hearten.data.corpus import Corpus, read_corpus

CANDIDATES = ("esconv/ESConv.json.gz", "esconv/ESConv.json", "ESConv.json.gz", "ESConv.json")
"""Where ESConv may lie inside a data folder; `hearten data get esconv` writes the second."""
LICENCE = "Apache-2.0 (part of hearten)"


@cache
def seed_conversations() -> tuple[Conversation, ...]:
    """The conversations in the package's `seeds.jsonl`.

    Raises:
        Failure: this build of hearten carries none.
    """
    if not seeds_file().is_file():
        raise Failure(
            "this build of hearten carries no seed conversations", fix="fetch a corpus: hearten data get"
        )
    return tuple(read_records(seeds_file(), Conversation))


def find_training_corpus() -> Corpus:
    """ESConv where it is found, else the seeds; `format` tells which ('esconv' or 'seeds')."""
    found = find_corpus(*CANDIDATES)
    if found is not None:
        return read_corpus(found)
    return Corpus(Path("hearten/data/seeds.jsonl"), "seeds", seed_conversations(), LICENCE)
