"""From a run's sample timeline to what its card shows: both answers, what has changed, and where in the training it is.

Pure functions without Gradio. Whatever comes from prompts or answers is escaped before it becomes HTML.
"""

import html
from dataclasses import dataclass

from studio.i18n import text
from studio.train.samples import Answer, SampleTimeline
from studio.ui import difference
from studio.ui.compare_views import NO_CAPTION, pieces
from studio.ui.views import empty

LONGEST_PROMPT = 90
"""Characters of a prompt in the list of them."""


@dataclass(frozen=True)
class Place:
    """What a session looks at."""

    prompt: int = 0
    frame: int | None = None
    """Number of the frame from 0; None follows the newest one."""

    def number(self, strip: SampleTimeline) -> int:
        """Return the number of the frame that is shown."""
        newest = len(strip.frames) - 1
        return newest if self.frame is None else max(0, min(self.frame, newest))

    def prompt_of(self, strip: SampleTimeline) -> int:
        """Return the number of the prompt that is shown."""
        return min(self.prompt, max(0, len(strip.prompts) - 1))


def prompts(strip: SampleTimeline) -> list[tuple[str, int]]:
    """Return the prompts as a list offers them: on one line, the long ones shortened."""
    lines = (" ".join(prompt.split()) for prompt in strip.prompts)
    return [
        (line if len(line) <= LONGEST_PROMPT else line[:LONGEST_PROMPT] + " …", place)
        for place, line in enumerate(lines)
    ]


def scrubber(strip: SampleTimeline, place: Place, total: int, language: str) -> str:
    """Say in words where the scrubber stands."""
    if not strip.frames:
        return text("ui.strip.scrub", language)
    step = strip.frames[place.number(strip)].step
    return text("ui.strip.at", language, step=step, total=max(total, strip.frames[-1].step))


def answers(strip: SampleTimeline, place: Place, language: str, *, state: str = "none") -> str:
    """Return the base's answer beside the one of the chosen frame, in which the words that changed are marked.

    While there is none, `state` says why: `none` (no run), `waiting` or `missing`.
    """
    if not strip.frames:
        return f'<div class="placeholder">{empty(f"ui.strip.{state}", language)}</div>'
    number, prompt = place.number(strip), place.prompt_of(strip)
    now = strip.frames[number].answers[prompt]
    first = strip.frames[0].answers[prompt]
    marked = html.escape(now.text)
    if number:
        marked = pieces(difference.compare(strip.frames[number - 1].answers[prompt].text, now.text).two, "two")
    base = text("ui.strip.base" if not strip.frames[0].step else "ui.strip.step", language, step=strip.frames[0].step)
    sides = (
        ("one", base, html.escape(first.text), first),
        ("two", text("ui.strip.step", language, step=strip.frames[number].step), marked, now),
    )
    return f'<div class="two-sides">{"".join(_side(*side, language) for side in sides)}</div>'


def _side(kind: str, title: str, text_html: str, answer: Answer, language: str) -> str:
    head = html.escape(title)
    if not answer.text:
        body = empty("ui.compare.said_nothing", language)
    else:
        more = "" if answer.ended else f'<span class="cut-off" title="{html.escape(_cut(answer, language))}"> …</span>'
        body = f'<div class="answer">{text_html}{more}</div>'
    return f'<div class="{kind}" tabindex="0" role="group" aria-label="{head}"><small>{head}</small>{body}</div>'


def _cut(answer: Answer, language: str) -> str:
    return text("ui.strip.cut", language, tokens=answer.tokens)


def caption(strip: SampleTimeline, place: Place, language: str) -> str:
    """Say under the answers what has changed since the frame before."""
    if not strip.frames:
        return NO_CAPTION
    number, prompt = place.number(strip), place.prompt_of(strip)
    if not number:
        return f'<p class="caption">{html.escape(text("ui.strip.first", language))}</p>'
    before, now = (frame.answers[prompt].text for frame in strip.frames[number - 1 : number + 1])
    changed = sum(len(piece.text.split()) for piece in difference.compare(before, now).two if piece.own)
    key = "ui.strip.changed" if changed else "ui.strip.same" if before == now else "ui.strip.shorter"
    values = {"words": changed, "all": len(now.split()), "step": strip.frames[number - 1].step}
    return f'<p class="caption">{html.escape(text(key, language, **values))}</p>'
