"""Answers read by scoring, never by parsing: the probability of each of a few fixed strings.

The strings' tokens form a trie. At a node with several children the model's scores are compared among these
children alone; where only one token may follow nothing is asked. So the probabilities of the strings sum to
one, the likeliest string is what decoding constrained to the trie would say, and most answers cost a single
position. A string that is the beginning of another could never be told from it and is refused.
"""

from collections.abc import Sequence
from typing import Any

from hearten.core.errors import UsageError

Path = tuple[int, ...]


class Choices:
    """A few strings as a trie of token ids.

    Args:
        tokenizer: turns a string into ids.
        names: the strings.

    Raises:
        UsageError: two strings are one, or one begins another, in ids.
    """

    def __init__(self, tokenizer: Any, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.paths: list[Path] = [
            tuple(tokenizer(name, add_special_tokens=False).input_ids) for name in names
        ]
        self._refuse_prefixes()
        children: dict[Path, list[int]] = {}
        for path in self.paths:
            for depth, token in enumerate(path):
                known = children.setdefault(path[:depth], [])
                if token not in known:
                    known.append(token)
        self.nodes: dict[Path, list[int]] = {node: ids for node, ids in children.items() if len(ids) > 1}
        """Where the strings part: what was said so far → the ids that may follow."""

    def _refuse_prefixes(self) -> None:
        for one, path in zip(self.names, self.paths, strict=True):
            for other, longer in zip(self.names, self.paths, strict=True):
                if one != other and longer[: len(path)] == path:
                    what = f"'{one}' and '{other}' do not tokenise apart"
                    raise UsageError(what, fix="rename one of the classes, or take another backbone")

    @property
    def inner(self) -> list[Path]:
        """The parting nodes below the root, in a fixed order: what must be said to reach each."""
        return sorted(node for node in self.nodes if node)

    def steps(self, number: int) -> list[tuple[Path, int]]:
        """(node, place among its children) on the way to string `number`."""
        path = self.paths[number]
        return [
            (path[:depth], self.nodes[path[:depth]].index(token))
            for depth, token in enumerate(path)
            if path[:depth] in self.nodes
        ]
