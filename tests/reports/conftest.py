"""Cards to try: one in English, one in Korean, and one whose every field is markup."""

from dataclasses import replace

import pytest

from studio.compare.comparison import AnswerPair
from studio.evaluate.metrics import Sample
from studio.evaluate.scoreboard import score
from studio.i18n import message
from studio.reports.comparison_card import Card, SampleTimeline
from studio.runs.curve import Curve
from studio.train.diagnosis import diagnose
from tests.train.curves.made import events, falling

HOSTILE = (
    "</title></style><script>window.hit = 1</script><img src=x onerror='window.hit = 2'>\"'><svg onload=alert(1)>"
    '<a href="javascript:window.hit=3">x</a>&lt;b&gt; <meta http-equiv="refresh" content="0;url=http://127.0.0.1:9">'
)


def board(count=24):
    before = [
        Sample(str(i), "Aye, the sea.", "The sea is large. " * (i % 3 + 1), i % 2 == 0, 9, 3 + i / 50, 5)
        for i in range(count)
    ]
    after = [replace(sample, answer="Aye, the sea!", ended_by_itself=True, nll=1.5) for sample in before]
    return score(before, after, marker="(?i)aye")


@pytest.fixture(scope="module")
def card():
    return Card(
        title="Old sea captain",
        base="SmolLM2-135M-Instruct",
        adapter="quickstart-0412",
        pairs=(AnswerPair("How do I boil an egg?", "Put it in hot water.", "Seven minutes, matey!"),),
        recipe=("LoRA r 16", "2 epochs"),
        data_hash="9f2c" * 16,
        losses=(3.5, 2.0, float("nan"), 1.0, 0.5),
        reading=diagnose(Curve().after(events(falling(60), validation=(3, 2.5, 2.3)))),
        stills=(
            SampleTimeline(
                "Why is the sea salty?", ((0, "Rivers carry salt."), (30, "Salt, lad!"), (60, "Aye, salt!"))
            ),
        ),
        scoreboard=board(),
        style=message("style.headline.exaggerates", percent=122, low=118, high=127),
        date="2026-11-24",
    )


@pytest.fixture(scope="module")
def korean(card):
    return replace(
        card,
        title="키워드로 쓰는 가사",
        pairs=(AnswerPair("바다, 등대", "바다는 넓습니다.", "등대가 켜지는 시간에\n나는 젖은 모래에 앉아"),),
        language="ko",
    )


@pytest.fixture(scope="module")
def hostile():
    return Card(
        title=HOSTILE,
        base=HOSTILE,
        adapter=HOSTILE,
        pairs=(AnswerPair(HOSTILE, HOSTILE, HOSTILE),),
        recipe=(HOSTILE,),
        data_hash=HOSTILE,
        losses=(1.0, 0.5),
        stills=(SampleTimeline(HOSTILE, ((0, HOSTILE), (9, HOSTILE))),),
        scoreboard=board(),
        style=message("style.headline.exaggerates", percent=HOSTILE, low=HOSTILE, high=HOSTILE),
        date=HOSTILE,
    )
