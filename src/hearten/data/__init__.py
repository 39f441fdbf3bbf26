"""Stage 1, corpora: any known release in, `conversations.jsonl` out.

Reads ESConv (three releases), ExTES, EmpatheticDialogues, ConvoKit, chat JSON Lines, CSV and our own
files; writes conversations, splits, exports, tables and figures. It knows nothing of models.

`formats/` holds one module per format, reading and writing side by side; `corpus.py` recognises a file by
its content and reads it; `catalogue.py` lists the public corpora with their licences. Start with
`hearten data check PATH`.
"""

from hearten.data.corpus import Corpus, read_corpus
from hearten.data.seeds import find_training_corpus, seed_conversations

__all__ = ["Corpus", "find_training_corpus", "read_corpus", "seed_conversations"]
