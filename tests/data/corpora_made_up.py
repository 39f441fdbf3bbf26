"""Small made-up corpora in every format; no sentence comes from a real one."""

import json
from pathlib import Path

ESCONV_RECORD = {
    "experience_type": "Current Experience",
    "emotion_type": "anxiety",
    "problem_type": "Sleep Problems",
    "situation": "I lie awake since the move.",
    "survey_score": {
        "seeker": {
            "initial_emotion_intensity": "5",
            "empathy": "4",
            "relevance": "5",
            "final_emotion_intensity": "2",
        },
        "supporter": {"relevance": "0"},
    },
    "dialog": [
        {"speaker": "seeker", "annotation": {}, "content": "Hello there\n"},
        {"speaker": "supporter", "annotation": {"strategy": "Question"}, "content": " What  keeps you up?"},
        {"speaker": "supporter", "annotation": {"strategy": "Others"}, "content": "I am listening."},
        {"speaker": "seeker", "annotation": {"feedback": "4"}, "content": "The boxes in the hall."},
        {
            "speaker": "supporter",
            "annotation": {"strategy": "Self-disclosure"},
            "content": "Mine stood a year.",
        },
    ],
    "seeker_question1": "It was quick.",
    "seeker_question2": "",
    "supporter_question1": "",
    "supporter_question2": "",
}

EXTES_RECORD = {
    "scene": "moving to a new city or country",
    "description": "A student is alone in a new town.",
    "content": [
        {"User": "Nobody here knows my name."},
        {"AI Strategy": "Emotional Validation", "AI": "That can feel very bare."},
        {"User": "It does."},
        {"AI strategy": "[Suggest Options (SO)]", "AI": "Is there a choir, or a club?"},
        {"User": "A choir, yes."},
        {"AI": {"AI Strategy": "Affirmation, Offer Hope", "AI": "You have already found a door."}},
        {"User": "Thanks."},
        {"AI": "Take care!"},
    ],
}

TSV_ROWS = (
    "1.0 0 0 Hello  EOS 1.0 1 1 [Questions] How are you? ",
    "1.0 0 0 Hello  EOS 1.0 1 1 [Questions] How are you?  EOS 1.0 0 2 Not well EOS 1.0 1 3 [Other] Oh. ",
    "1.0 1 1 [Questions] How are you?  EOS 1.0 0 2 Not well EOS 1.0 1 3 [Other] Oh.  EOS "
    "1.0 1 4 [Information] It is late.",
    "1.0 0 0 Hi EOS 1.0 1 1 [Other] Good evening",
)

EMPATHETIC_CSV = (
    "conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags",
    'hit:0_conv:1,1,afraid,A noise_comma_ at night,1,I heard a "noise"_comma_ upstairs.,5|5|5_2|2|5,',
    "hit:0_conv:1,2,afraid,A noise_comma_ at night,0,Were you alone?,5|5|5_2|2|5,",
    "hit:1_conv:2,1,proud,My garden,3,The roses came.,,",
    "hit:1_conv:2,2,proud,My garden,2,Well done!,,",
)

CHAT_RECORD = {
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "I failed."},
        {"role": "assistant", "content": "What happened?", "strategy": None},
    ]
}


def write_json(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_lines(path: Path, lines: object) -> Path:
    rows = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path
