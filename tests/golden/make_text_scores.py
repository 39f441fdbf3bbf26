"""Compute text_scores.json with the programs whose figures were published; the pairs are made up here.

pip install --no-deps pycocoevalcap==1.2 nltk==3.10.4   (and Java, for METEOR 1.5)
python tests/golden/make_text_scores.py
"""

import json
from importlib import metadata
from pathlib import Path

from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu, sentence_bleu
from nltk.translate.meteor_score import single_meteor_score
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge

PAIRS = [
    ("i am so sorry to hear that .", "i am really sorry to hear about that ."),
    ("have you talked to your sister about it ?", "did you talk to anyone , maybe your sister ?"),
    ("that sounds hard", "that sounds very hard , and you are doing your best"),
    ("", "take care of yourself tonight"),
    ("i i i i think think", "i think you think too much"),
    ("what would help you most right now ?", "what would help you most right now ?"),
    ("yes", "no , not yet"),
    ("you could try a short walk . it helps me .", "a walk outside may help , it often helps me to sleep ."),
    ("good luck with the exams next week !", "i hope your exam goes well !"),
    ("you are stronger than you think , many people happily recover", "many recover happily"),
]


class NoWordNet:
    def synsets(self, word):
        return []


def nltk_bleu(hypotheses, references, n):
    smooth = {"weights": [1 / n] * n, "smoothing_function": SmoothingFunction().method3}
    items = [sentence_bleu([r], h, **smooth) for h, r in zip(hypotheses, references, strict=True)]
    return {"corpus": corpus_bleu([[r] for r in references], hypotheses, **smooth), "items": items}


def main():
    res = {i: [hypothesis] for i, (hypothesis, _) in enumerate(PAIRS)}
    gts = {i: [reference] for i, (_, reference) in enumerate(PAIRS)}
    split = [[text.split() for text in side] for side in zip(*PAIRS, strict=True)]
    corpus, items = Bleu(4).compute_score(gts, res, verbose=0)
    nlgeval = {f"BLEU-{n + 1}": {"corpus": corpus[n], "items": items[n]} for n in range(4)}
    for name, scorer in (("ROUGE-L", Rouge()), ("CIDEr", Cider()), ("METEOR-1.5", Meteor())):
        value, values = scorer.compute_score(gts, res)
        nlgeval[name] = {"corpus": float(value), "items": list(map(float, values))}
    meteor = [single_meteor_score(r, h, wordnet=NoWordNet()) for h, r in zip(*split, strict=True)]
    nlgeval["METEOR-nltk"] = {"corpus": sum(meteor) / len(meteor), "items": meteor}
    golden = {
        "made_with": {name: metadata.version(name) for name in ("pycocoevalcap", "nltk")},
        "pairs": PAIRS,
        "nlgeval": nlgeval,
        "zcj": {f"BLEU-{n}": nltk_bleu(*split, n) for n in range(1, 5)},
    }
    target = Path(__file__).with_name("text_scores.json")
    target.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
