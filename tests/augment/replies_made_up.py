"""Made-up replies of a language model asked for a conversation: good ones, and every way they go wrong.

A small grammar makes conversations that share few runs of words; `KINDS` spoils them as models do. Each kind
knows what the pipeline should make of it. All words are this file's own.
"""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hearten.core.conversation import Conversation
from hearten.core.extes import layout
from hearten.core.taxonomy import label_set

Layout = dict[str, Any]


def _list(text: str) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in text.split("|"))


WHO = _list("""my sister|the landlord|our foreman|the new nurse|Tamsin|the man upstairs|my stepson|Orla|
    a cousin|the ward sister|my flatmate|our choir leader|Dieter|the bank|his teacher|
    Mrs Aldous|granddad|the agency|my ex|Ines|the neighbour|our goalkeeper|my aunt|Kofi|
    the registrar|my twin|Halvard|the trainee|our vicar|Bea""")
DID = _list("""sold|hid|asked for|threw out|laughed about|lied about|kept|forgot|broke|wanted|moved|
    counted|burned|lent out|carried off|cried over|fought over|wrote about|locked away|
    gave back|painted over|spoke about|complained about|dreamt of|tripped over|photographed|
    measured|emptied|repaired|ignored""")
LIKE = _list("""blue|cracked|borrowed|tiny|yellow|unpaid|second|heavy|foreign|wet|patched|noisy|
    secret|crooked|expensive|half-empty|rusty|empty|wooden|forgotten|folded|cheap|warm|
    spare|stained|frozen|ancient|plain""")
THING = _list("""folder|jar|gate|raincoat|ticket|pen|stair|box|room|sieve|zip|hose|book|newsletter|
    tin|invoice|bowl|bus pass|ladder|blanket|lamp|suitcase|recipe|photograph|garden|rota|
    piano|kettle|letter|shed|boat|key|radio|table|cap|fence|map|clock|ring|apron|
    calendar|tent|violin|mirror|coat|bicycle|phone|diary|shelf|loaf""")
WHEN = _list("""on Thursday|before the harvest|after church|in March|last night|at breakfast|on Sunday|
    since August|during the strike|before work|after the concert|in the rain|this morning|
    at closing time|over lunch|between trains|by candlelight|on payday|after the match|
    in the queue|at the wedding|before dawn|all winter""")
BODY = _list("""hands|stomach|jaw|shoulders|head|chest|legs|voice|eyes|neck|knees|face""")
ACHE = _list("""tightened|shook|went cold|ached|gave way|froze|burned|hummed|felt hollow|
    turned to sand|locked|sagged""")
HOW = _list("""badly|for hours|in waves|without warning|every time|quietly|like before|more and more|
    at once|again|half the night|like paper|in front of everyone|on the stairs|most mornings|
    for nothing""")
STILL = _list("""never|still|nearly|always|hardly ever|secretly|once|almost|suddenly|only just""")
MEANT = _list("""mentioned|missed|wanted|touched|understood|dropped|defended|buried|mourned|needed|
    cleaned|feared|returned|trusted|avoided|expected|explained|hated""")
WAYS = _list("""holding|writing down|sharing|leaving|naming|finishing|returning|borrowing|mending|
    drawing|sorting|airing|wrapping up|walking to|waiting for|looking at|asking after|
    giving away|sitting beside|planning""")
SAID = _list("""That cost you more than|Nobody taught you to carry|You stood up beside|
    It was never only about|I can see you with|You have every right to mind|
    Anyone would stumble over|That is a lonely way to hold|You noticed sooner than most|
    There is sense in missing|You were left alone with|A lot of people lose""")
ASKED = _list("""What would change without|Who else knows about|How long have you carried|
    When did you last enjoy|What do you tell yourself about|Which part hurts most in|
    Who would you show|How do you sleep beside|What did you hope for from|Where do you go after""")
TAIL = _list("""Tell me if that misses.|It needn't be tonight.|You choose the size.|Only if it helps.|
    I'd rather be corrected.|We can stop there.|No prize for hurrying.|You decide.|
    That may be enough.""")


WHOSE = ("the", "a", "my", "that", "her", "his", "our")


def a_thing(draw: random.Random) -> str:
    return f"{draw.choice(WHOSE)} {draw.choice(LIKE)} {draw.choice(THING)}"


def seeker(draw: random.Random, place: int, total: int) -> str:
    """A seeker's turn: a story first, then bits of it, then an end."""
    one = draw.choice
    who, thing, when = one(WHO), a_thing(draw), one(WHEN)
    ache = f"my {one(BODY)} {one(ACHE)} {one(HOW)}"
    if place == 0:
        return f"{who[:1].upper()}{who[1:]} {one(DID)} {thing} {when}, and {ache}."
    if place >= total - 2:
        return f"Right. I {one(STILL)} {one(MEANT)} {thing}, so {one(WHO)} can wait. Bye."
    return one((
        f"Since then {ache}. I {one(STILL)} {one(MEANT)} {thing}.",
        f"I {one(STILL)} {one(MEANT)} {thing} {when}. Then {who} {one(DID)} {a_thing(draw)}.",
        f"Then {who} {one(DID)} {thing}, {one(HOW)}, {when}.",
        f"Honestly, {ache} {when}, and {who} {one(MEANT)} {thing}.",
    ))  # fmt: skip


def supporter(draw: random.Random, place: int) -> str:
    """A supporter's turn: whatever is anybody's is the seeker's."""
    return re.sub(r"\b(?:my|our)\b", "your", _supporter(draw, place))


def _supporter(draw: random.Random, place: int) -> str:
    one = draw.choice
    who, thing, when = one(WHO), a_thing(draw), one(WHEN)
    if place < 2:
        return f"Hello. {one(SAID)} {thing} {when}. {one(ASKED)} {a_thing(draw)}?"
    return one((
        f"{one(SAID)} {thing} {when}. {one(ASKED)} {who}?",
        f"What about {one(WAYS)} {thing} with {who} {when}? {one(TAIL)}",
        f"{one(SAID)} {thing}; {who} {one(MEANT)} {a_thing(draw)} too. {one(TAIL)}",
        f"Some people try {one(WAYS)} {thing} {when}. {one(ASKED)} {a_thing(draw)}?",
    ))  # fmt: skip


def good(draw: random.Random, scene: str) -> Layout:
    """A conversation as it was asked for."""
    total = draw.choice((12, 14, 16, 18, 20))
    names = label_set("extes").names
    content: list[dict[str, str]] = []
    for place in range(total):
        if place % 2 == 0:
            content.append({"User": seeker(draw, place, total)})
        else:
            content.append({"AI Strategy": draw.choice(names), "AI": supporter(draw, place)})
    told = f"{draw.choice(WHO)} {draw.choice(DID)} {a_thing(draw)} {draw.choice(WHEN)}, and it still hurts."
    return {"scene": scene, "description": told[:1].upper() + told[1:], "content": content}


def as_json(talk: Layout) -> str:
    return json.dumps(talk, ensure_ascii=False, indent=1)


def supporters(talk: Layout) -> list[dict[str, str]]:
    return [turn for turn in talk["content"] if "AI" in turn]


def misspelt(talk: Layout, draw: random.Random) -> str:
    for turn in supporters(talk)[1:4]:
        name = turn["AI Strategy"]
        turn["AI Strategy"] = draw.choice(
            (name.lower(), f"{draw.randint(1, 16)}. {name}", name.replace("t", "tt", 1), f"[{name}]")
        )
    return as_json(talk)


def without_ends(talk: Layout, draw: random.Random) -> str:
    supporters(talk)[0].pop("AI Strategy")
    supporters(talk)[-1]["AI Strategy"] = ""
    return as_json(talk)


def unlabelled(talk: Layout, draw: random.Random) -> str:
    for turn in supporters(talk)[1:-1]:
        turn.pop("AI Strategy")
    return as_json(talk)


def invented(talk: Layout, draw: random.Random) -> str:
    supporters(talk)[2]["AI Strategy"] = "Cognitive Unhooking"
    return as_json(talk)


def cut(talk: Layout, share: float) -> str:
    text = as_json(talk)
    return text[: int(len(text) * share)]


def unescaped(talk: Layout, draw: random.Random) -> str:
    supporters(talk)[1]["AI"] += ' You said "like a bill", and that stuck.'
    return as_json(talk).replace('\\"', '"')


def with_said(talk: Layout, who: str, text: str) -> str:
    turns = [turn for turn in talk["content"] if who in turn]
    turns[len(turns) // 2][who] = text
    return as_json(talk)


def repeated(talk: Layout, draw: random.Random) -> str:
    for turn in talk["content"][4:]:
        key = "AI" if "AI" in turn else "User"
        turn[key] = talk["content"][3]["AI"] if key == "AI" else talk["content"][2]["User"]
    return as_json(talk)


def transcript(talk: Layout, draw: random.Random) -> str:
    rows = [
        f"User: {t['User']}" if "User" in t else f"AI ({t['AI Strategy']}): {t['AI']}"
        for t in talk["content"]
    ]
    return "\n".join(rows)


Spoil = Callable[[Layout, random.Random], str]


@dataclass(frozen=True)
class Kind:
    """A way a reply may come out, and what should become of it."""

    spoil: Spoil
    outcome: str
    """`accepted`, `again` (asked once more), or the check that rejects it."""
    remark: str = ""
    """The check that should remark on it, if it is accepted."""


def fenced(talk: Layout, draw: random.Random) -> str:
    return f"Of course! Here it is:\n```json\n{as_json(talk)}\n```\nTell me if it should be longer."


def monologue(talk: Layout, draw: random.Random) -> str:
    return as_json({**talk, "content": [{"User": seeker(draw, 1, 99)} for _ in talk["content"]]})


def saying(who: str, text: str) -> Spoil:
    """One turn in the middle says this."""
    return lambda talk, draw: with_said(talk, who, text)


ASSISTANT = "As an AI language model, I do not have feelings about the van."
ADDRESS = "Write to me at tamsin.row@example.org, or ring 0131 555 0182."
DIAGNOSIS = "You clearly have severe depression. Stop taking your medication."
DANGER = "I want to kill myself tonight and I have the pills here."
ABUSE = "Shut up you stupid fucking idiot, I will kill you."
CHATTER = "I can see why that topic matters. Which scenario would you like me to write?"

KINDS: dict[str, Kind] = {
    "good": Kind(lambda talk, draw: as_json(talk), "accepted"),
    "fenced": Kind(fenced, "accepted", "format"),
    "python": Kind(lambda talk, draw: repr(talk), "accepted", "format"),
    "trailing-comma": Kind(lambda talk, draw: as_json(talk).replace("}\n ]", "},\n ]"), "accepted", "format"),
    "unescaped": Kind(unescaped, "accepted", "format"),
    "transcript": Kind(transcript, "accepted", "format"),
    "misspelt": Kind(misspelt, "accepted"),
    "no-label-at-ends": Kind(without_ends, "accepted", "strategies"),
    "cut-late": Kind(lambda talk, draw: cut(talk, 0.9), "accepted", "format"),
    "wrapped": Kind(lambda talk, draw: as_json({"dialogue": talk}), "accepted"),
    "cut-early": Kind(lambda talk, draw: cut(talk, 0.3), "again"),
    "unlabelled": Kind(unlabelled, "again"),
    "invented": Kind(invented, "again"),
    "empty": Kind(lambda talk, draw: "", "again"),
    "chatter": Kind(lambda talk, draw: CHATTER, "again"),
    "short": Kind(lambda talk, draw: as_json({**talk, "content": talk["content"][:6]}), "length"),
    "monologue": Kind(monologue, "turn-order"),
    "repeated": Kind(repeated, "repetition"),
    "assistant": Kind(saying("AI", ASSISTANT), "ai-reference"),
    "address": Kind(saying("User", ADDRESS), "personal-data"),
    "diagnosis": Kind(saying("AI", DIAGNOSIS), "unsafe-advice"),
    "careless": Kind(saying("User", DANGER), "crisis-care"),
    "abusive": Kind(saying("AI", ABUSE), "toxicity"),
}


def reply(kind: str, scene: str, seed: int | str) -> str:
    """One reply of a kind."""
    draw = random.Random(f"{kind}/{seed}")
    return KINDS[kind].spoil(good(draw, scene), draw)


def copied(seed: Conversation, draw: random.Random) -> str:
    """An exemplar handed back with a few words changed: a near-duplicate."""
    talk = layout(seed)
    for turn in draw.sample(talk["content"], 3):
        turn["AI" if "AI" in turn else "User"] += " Anyway."
    return as_json(talk)


SCENE = re.compile(r'of the type "([^"]+)"')
COMMON = ("good",) * 12 + ("fenced", "python", "misspelt", "no-label-at-ends", "cut-late", "unescaped") * 2
"""What comes out most of the time; every other kind now and then."""


def kind_of(seed: int) -> str:
    """Which kind of reply a request with this seed gets; `copy` and `twin` are near-duplicates."""
    return random.Random(seed).choice((*COMMON, *KINDS, "copy", "twin"))


def respond(prompt: str, seed: int, seeds: list[Conversation]) -> str:
    """What the made-up model says: the same for the same request, whoever asks and how often."""
    found = SCENE.search(prompt)
    scene, kind = found[1] if found else "Depression and Low Mood", kind_of(seed)
    draw = random.Random(seed)
    if kind == "copy":
        return copied(draw.choice(seeds), draw)
    if kind == "twin":
        return reply("good", scene, seed % 3)
    return reply(kind, scene, seed)
