"""One renderer: what is compared is, token for token, the prefix of what was trained."""

import pytest
from tiny import TEMPLATES, make_tokenizer

from studio.config import PromptConfig
from studio.data import tokens
from studio.data.conversation import Turn
from studio.data.prompt import ChatRenderer, TextRenderer, renderer
from studio.errors import PromptError

TALK = [
    Turn("user", "How are you?"),
    Turn("assistant", "Fine."),
    Turn("user", "잘 지내?"),
    Turn("assistant", "그럼요 🙂"),
]


@pytest.mark.parametrize("family", TEMPLATES)
def test_every_answer_is_trained_with_its_end_and_nothing_else_is(family):
    tokenizer = make_tokenizer(TEMPLATES[family])
    segments = ChatRenderer(tokenizer, None).example(TALK, {}).segments
    trained = [segment.text for segment in segments if segment.trained]
    assert [text.strip().removesuffix("<|im_end|>") for text in trained] == ["Fine.", "그럼요 🙂"]
    assert all("<|im_end|>" in text for text in trained)
    messages = [{"role": turn.role, "content": turn.content} for turn in TALK]
    assert "".join(s.text for s in segments) == tokenizer.apply_chat_template(messages, tokenize=False)


@pytest.mark.parametrize("family", TEMPLATES)
def test_a_compared_prompt_is_the_prefix_of_the_trained_tokens(family):
    tokenizer = make_tokenizer(TEMPLATES[family])
    render = ChatRenderer(tokenizer, None)
    for asked in (TALK[:1], TALK[:3]):
        row = tokens.tokenize([render.example([*asked, TALK[len(asked)]], {}).segments], tokenizer, 1000, "completion")[
            0
        ]
        prompt = tokens.prompt_ids(render.question(asked), tokenizer)
        assert list(row.ids[: len(prompt)]) == prompt
        assert set(row.labels[len(prompt) :]) == {"trained"}


def test_a_template_that_rewrites_earlier_turns_trains_the_last_answer_only():
    template = (
        "{% for m in messages %}{{ m['role'] }}: {% if m['role'] == 'assistant' and not loop.last %}(earlier)"
        "{% else %}{{ m['content'] }}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    made = ChatRenderer(make_tokenizer(template), None).example(TALK, {})
    assert [segment.text for segment in made.segments if segment.trained] == ["그럼요 🙂<|im_end|>\n"]
    assert made.notes == ("answer_lost",)


def test_a_generation_prompt_that_the_training_text_lacks_is_the_prompt_all_the_same():
    template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: <no thoughts>{% endif %}"
    )
    render = ChatRenderer(make_tokenizer(template), None)
    made = render.example(TALK[:2], {})
    asked, answered = made.segments
    assert made.notes == ("other_prompt",)
    assert asked.text == render.question(TALK[:1])[0].text
    assert answered.text == "Fine.<|im_end|>\n"


def test_the_system_prompt_is_on_both_sides_and_a_rows_own_wins():
    render = ChatRenderer(make_tokenizer(), "Be brief.")
    assert "Be brief." in render.example(TALK[:2], {}).segments[0].text
    assert "Be brief." in render.question(TALK[:1])[0].text
    own = [Turn("system", "Be long."), *TALK[:2]]
    assert "Be brief." not in render.example(own, {}).segments[0].text


def test_a_template_without_a_system_role_says_so():
    with pytest.raises(PromptError, match="no system role"):
        ChatRenderer(make_tokenizer(TEMPLATES["gemma"]), "Be brief.").question(TALK[:1])


def text_renderer(template: str, answer: str = "a") -> TextRenderer:
    return TextRenderer(make_tokenizer(None), template, answer)


def test_white_space_before_the_answer_belongs_to_the_answer():
    segments = text_renderer("### q: {q}\n### a: {a}").example([], {"q": "one", "a": "two"}).segments
    assert [segment.text for segment in segments] == ["### q: one\n### a:", " two<|im_end|>"]


def test_a_typed_prompt_fills_the_only_column():
    render = text_renderer("### q: {q}\n### a: {a}")
    trained = render.example([], {"q": "one", "a": "two"}).segments
    assert render.question([Turn("user", "one")])[0].text == trained[0].text


def test_doubled_braces_are_braces_and_values_are_never_read_as_templates():
    segments = text_renderer("{{x}} {q}|{a}|end").example([], {"q": "{a}", "a": "{q} {{"}).segments
    assert [segment.text for segment in segments] == ["{x} {a}|", "{q} {{|end<|im_end|>"]


@pytest.mark.parametrize(
    "template", ["{q}", "{q} {a} {a}", "{a} {q}", "{q.__class__} {a}", "{q} {a", "{} {a}", "{q} } {a}"]
)
def test_a_template_that_cannot_work_is_refused(template):
    with pytest.raises(PromptError):
        text_renderer(template).example([], {"q": "x", "a": "y"})


def test_a_column_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(PromptError, match=r'"frage".*q, a'):
        text_renderer("{frage} {a}").example([], {"q": "x", "a": "y"})


def test_auto_takes_the_chat_template_where_there_is_one():
    assert isinstance(renderer(PromptConfig(), make_tokenizer(), "a"), ChatRenderer)
    text = PromptConfig(template="{q} {a}")
    assert isinstance(renderer(text, make_tokenizer(), "a"), ChatRenderer)
    assert isinstance(renderer(text, make_tokenizer(None), "a"), TextRenderer)
    chosen = PromptConfig(style="text", template="{q} {a}")
    assert isinstance(renderer(chosen, make_tokenizer(), "a"), TextRenderer)


def test_without_a_chat_template_a_text_template_is_asked_for():
    with pytest.raises(PromptError, match="text template is needed"):
        renderer(PromptConfig(), make_tokenizer(None), "a")
    with pytest.raises(PromptError, match="no chat template"):
        renderer(PromptConfig(style="chat"), make_tokenizer(None), "a")
