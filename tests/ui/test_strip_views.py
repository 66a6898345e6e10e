"""What the sample timeline's card shows."""

import gradio as gr
import pytest

from studio import runs
from studio.config import RunConfig
from studio.runs import State
from studio.train import samples
from studio.train.samples import Answer, Frame, SampleTimeline
from studio.ui import comparable, following, strip_views
from studio.ui.following import Following
from studio.ui.strip_views import Place
from studio.ui.tabs import strip
from studio.ui.words import Words


def frame(step: int, *texts: str) -> Frame:
    return Frame(step=step, seconds=1, answers=tuple(Answer(text=said, tokens=9, ended=True) for said in texts))


STRIP = SampleTimeline(
    prompts=("How do I boil an egg?", "바다, 등대"),
    every=20,
    frames=(
        frame(0, "Put it in water.", "바다는 넓다."),
        frame(20, "Aye, put it in water.", "등대가\n켜진다"),
        frame(40, "Aye, drop her in brine.", "등대가\n켜진다"),
    ),
)


@pytest.fixture
def run(home):
    """A run that trains, with three frames."""
    made = runs.create(RunConfig())
    made.enter(State.TRAINING, step=40, total=60)
    lines = [samples.SamplingStarted(prompts=STRIP.prompts, every=20, tokens=9), *STRIP.frames]
    made.append(samples.FILE, "".join(line.model_dump_json() + "\n" for line in lines))
    return made


def test_the_base_stands_beside_the_newest_answer_with_its_new_words_marked():
    shown = strip_views.answers(STRIP, Place(), "en")
    assert "Step 0: the base model" in shown
    assert "Put it in water." in shown
    assert '<mark class="own two">drop her</mark>' in shown
    assert "Aye" not in shown.replace("Aye, ", "", 1)
    assert "4 of 5 words" not in strip_views.caption(STRIP, Place(), "en")
    assert "3 of 5 words are new since step 20" in strip_views.caption(STRIP, Place(), "en")


def test_the_scrubber_moves_through_the_frames_and_says_where_it_is():
    steps = [strip_views.scrubber(STRIP, Place(0, number), 60, "en") for number in (0, 1, 2)]
    assert steps == ["Step 0 of 60", "Step 20 of 60", "Step 40 of 60"]
    assert strip_views.scrubber(STRIP, Place(), 60, "ko") == "60스텝 중 40스텝"
    assert '<mark class="own two">Aye' in strip_views.answers(STRIP, Place(0, 1), "en")
    assert "mark" not in strip_views.answers(STRIP, Place(0, 0), "en")
    assert "base model says" in strip_views.caption(STRIP, Place(0, 0), "en")


def test_an_answer_that_stayed_says_so_and_lines_are_kept():
    shown = strip_views.answers(STRIP, Place(1), "ko")
    assert "등대가\n켜진다" in shown
    assert "같은 답" in strip_views.caption(STRIP, Place(1), "ko")


def test_answers_and_prompts_are_shown_as_they_are():
    bad = "<script>x</script>"
    found = SampleTimeline(prompts=(bad,), frames=(frame(0, bad), frame(9, bad + " <b>")))
    shown = strip_views.answers(found, Place(), "en")
    assert "<script>" not in shown
    assert "<b>" not in shown
    assert strip_views.prompts(SampleTimeline(prompts=("a\nb", "x" * 200)))[0] == ("a b", 0)
    assert len(strip_views.prompts(SampleTimeline(prompts=("x" * 200,)))[0][0]) < 100


def test_a_cut_answer_is_marked_as_cut():
    cut = Frame(step=0, seconds=1, answers=(Answer(text="So it goes", tokens=16, ended=False),))
    assert "Cut after 16 tokens" in strip_views.answers(SampleTimeline(prompts=("a",), frames=(cut,)), Place(), "en")


def test_without_frames_the_card_says_what_will_be_here():
    for state in ("none", "waiting", "missing"):
        assert "empty" in strip_views.answers(SampleTimeline(), Place(), "en", state=state)


def card():
    with gr.Blocks():
        return strip.StripCard(Words())


def test_the_newest_frame_is_followed_unless_the_scrubber_was_moved(run):
    made, now = card(), following.follow(run.id)

    live = made.render(now, strip.place_of(0, None, now))
    assert live[made.at]["value"] == 2
    assert "drop her" in live[made.answers]

    moved = made.render(now, strip.place_of(1, (run.id, 0), now))
    assert (moved[made.at]["value"], moved[made.at]["maximum"]) == (0, 2)
    assert "넓다" in moved[made.answers]


def test_until_the_base_has_answered_the_card_says_what_will_be_here(home):
    made = runs.create(RunConfig())
    made.append(
        samples.FILE, samples.SamplingStarted(prompts=STRIP.prompts, every=20, tokens=9).model_dump_json() + "\n"
    )
    made.enter(State.TRAINING, step=1, total=60)

    strip_card = card()
    assert "right after the first step" in strip_card.render(following.follow(made.id))[strip_card.answers]


def test_pinned_prompts_are_offered_for_comparing_but_not_those_of_several_turns(run):
    assert comparable.held_out(run.id) == list(STRIP.prompts)

    several = runs.create(RunConfig())
    pinned = samples.SamplingStarted(prompts=("Ahoy?", "Ahoy?\n\nAye.\n\nWhere to?"), every=20, tokens=9)
    several.append(samples.FILE, pinned.model_dump_json() + "\n")
    assert comparable.held_out(several.id) == ["Ahoy?"]


def test_another_run_begins_at_its_newest_frame(run):
    now = following.follow(run.id)

    assert strip.place_of(1, ("20261125-231930-other-0000", 0), now).frame is None


def test_only_a_new_frame_or_another_state_is_news(run):
    before = following.follow(run.id)
    assert strip.current_stamp(following.read(before)) == strip.current_stamp(before)

    run.append(samples.FILE, frame(60, "a", "b").model_dump_json() + "\n")

    assert strip.current_stamp(following.read(before)) != strip.current_stamp(before)


def test_frames_that_a_resume_has_dropped_do_not_leave_the_scrubber_behind_the_end(run):
    made = card()
    run.append(samples.FILE, samples.Resumed(step=20).model_dump_json() + "\n")

    shown = made.render(following.follow(run.id), Place(0, 2))

    assert shown[made.at]["value"] == 1


def test_without_a_run_the_scrubber_stands_still(home):
    made = card()

    empty = made.render(Following(), Place(1, 0))

    assert empty[made.prompt]["value"] is None
    assert not empty[made.at]["interactive"]
