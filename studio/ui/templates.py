"""Text templates to begin with: one made from the columns in use, and those of the workflows that people know."""

from collections.abc import Sequence

NAMED = {
    "lyrics": "질문: 다음 키워드를 포함하는 가사를 작성하세요: {keywords}\n답변: {Lyric}",
    "socratic": "### context: {input}\n### question: {target}",
    "textbook": "질문: {question}\n정답: {answer}",
}
OWN = "own"
"""The template that is made from the columns in use."""


def own(prompt: Sequence[str], joined: str, completion: str | None) -> str:
    """Make a template of the columns in use; several prompt columns stand under the name of all of them, `joined`."""
    prompt_text = prompt[0] if len(prompt) == 1 else joined
    return f"### question: {{{prompt_text}}}\n### answer: {{{completion or 'answer'}}}"


def template(name: str, prompt: Sequence[str], joined: str, completion: str | None) -> str:
    """Return the template called `name`."""
    return own(prompt, joined, completion) if name == OWN else NAMED[name]
