"""Stage 4: knowledge onto conversations; `conversations.jsonl` in, the same with annotations out.

`kinds` (what each kind of knowledge asks and answers), `run` (the one runner: texts once, batches, cache,
resume), `command` (`hearten annotate …`). An annotation sits on its turn under its kind:

| kind | value |
|---|---|
| emotion | {"label": name, "scores": {name: share}} over ESConv's seven emotions and `none` |
| goemotions | {name: probability} over the 28 labels (`--raw`) |
| commonsense | {relation: [phrases]}; the situation's stands on the first turn as `situation` |
| keywords | [word] |
| cause, vad | clause or null; [valence, arousal, dominance] or null |
| distress | {"stressor", "expectations", "affects", "responses"} |
"""
