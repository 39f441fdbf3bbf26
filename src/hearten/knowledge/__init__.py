"""What a turn implies: emotion, commonsense, keywords, cause, valence, and a graph of distress.

Each module answers texts with knowledge and knows nothing of files or stages: `emotion` (which of ESConv's
seven emotions), `commonsense` (ATOMIC's nine relations), `keywords`, `affect` (valence, arousal, dominance
from a lexicon), `cause` (which clause an emotion comes from), `distress` (a graph of stressors and what
people expected). `cache` keeps answers by the hash of what was asked. The stage `annotate` writes them.
"""
