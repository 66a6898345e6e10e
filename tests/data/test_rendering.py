"""What a template does to a row: everything that is mapped is in the text, or it is counted and said."""

import contextlib
import json
from datetime import date

import pytest
from tiny import CHATML, TEMPLATES, make_tokenizer
from tokenizers import AddedToken

from studio.config import PromptConfig
from studio.data import prepare, prompt, scan, tokens
from studio.data.conversation import RowProblem, Turn
from studio.data.preview import preview_row
from studio.data.prompt import ChatRenderer, PlainRenderer, TextRenderer
from studio.errors import DataError, ModelError, PromptError
from studio.model.template import ChatTemplate

pytestmark = pytest.mark.usefixtures("warm_reader")

PHI3 = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
NO_SYSTEM = "{% for m in messages if m['role'] != 'system' %}[{{ m['role'] }}]{{ m['content'] }}<|im_end|>{% endfor %}"
CUTS_THOUGHTS = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' and not loop.last %}"
    "{{ m['content'].split('</think>')[-1].lstrip('\n') }}{% else %}{{ m['content'] }}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
OPENS_THOUGHTS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)
NEEDS_PARTS = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for part in m['content'] %}{{ part['text'] }}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def talk(*said: str, system: str | None = None) -> list[Turn]:
    turns = [Turn("assistant" if n % 2 else "user", text) for n, text in enumerate(said)]
    return [Turn("system", system), *turns] if system else turns


def trained(made) -> list[str]:
    return [segment.text for segment in made.segments if segment.trained]


def chat(template: str, **settings) -> ChatRenderer:
    return ChatRenderer(make_tokenizer(template), None, **settings)


def test_a_template_that_ends_the_whole_text_trains_every_turn():
    made = chat(PHI3).example(talk("a", "FIRST.", "b", "SECOND.", "c", "THIRD."), {})
    assert trained(made) == ["FIRST.<|im_end|>\n", "SECOND.<|im_end|>\n", "THIRD.<|im_end|>\n<|im_end|>"]
    assert made.notes == ()


@pytest.mark.parametrize("answer", ["en", "im", "<", "a", "assistant", "user", "|>", "\n", "end|>\n"])
def test_an_answer_that_is_part_of_the_marks_is_found_where_it_stands(answer):
    made = chat(OPENS_THOUGHTS).example(talk("user", answer or "x", "assistant", f"x{answer}"), {})
    if answer.strip():
        assert trained(made) == [f"{answer}<|im_end|>\n", f"x{answer}<|im_end|>\n"]
    else:
        assert trained(made) == [f"x{answer}<|im_end|>\n"]


@pytest.mark.parametrize("fix", [False, True])
def test_a_dropped_system_turn_is_told_or_goes_into_the_first_question(fix):
    turns = talk("a", "Arr.", "b", "No.", system="Be PIRATE")
    made = chat(NO_SYSTEM, merge_system=fix).example(turns, {})
    assert ("system_lost" in made.notes) is not fix
    assert ("[user]Be PIRATE\n\na<|im_end|>" in made.text) is fix
    assert trained(made) == ["[assistant]Arr.<|im_end|>", "[assistant]No.<|im_end|>"]


def test_a_system_prompt_of_the_settings_that_would_be_lost_is_refused_and_the_advice_works():
    for template in (NO_SYSTEM, TEMPLATES["gemma"]):
        with pytest.raises(PromptError, match="merge_system"):
            prompt.renderer(PromptConfig(system="Be brief."), make_tokenizer(template), "a")
        render = prompt.renderer(PromptConfig(system="Be brief."), make_tokenizer(template), "a", merge_system=True)
        asked = render.question(talk("Why?"))[0].text
        assert "Be brief.\n\nWhy?" in asked
        assert render.example(talk("Why?", "So."), {}).text.startswith(asked)


def test_reasoning_that_a_template_cuts_is_told_and_what_is_left_is_trained():
    thoughts = "<think>\nhm\n</think>\n\n"
    made = chat(CUTS_THOUGHTS).example(talk("a", thoughts + "One.", "b", thoughts + "Two."), {})
    assert made.notes == ("reasoning_lost",)
    assert trained(made) == ["One.<|im_end|>\n", f"{thoughts}Two.<|im_end|>\n"]
    assert chat(CUTS_THOUGHTS).example(talk("a", thoughts + "One."), {}).notes == ()


def test_white_space_that_a_template_trims_is_no_loss():
    made = chat(TEMPLATES["llama3"]).example(talk("  a\n", " b \n"), {})
    assert made.notes == ()
    assert trained(made) == ["b<|im_end|>"]


def test_a_template_that_changes_what_is_said_is_told():
    shouts = CHATML.replace("message['content']", "message['content'] | upper")
    assert chat(shouts).example(talk("ahoy", "Aye"), {}).notes == ("question_lost", "answer_lost")


def test_a_prompt_that_opens_a_thought_is_followed_by_the_answer():
    render = chat(OPENS_THOUGHTS)
    made = render.example(talk("a", "One.", "b", "Two."), {})
    assert made.notes == ("other_prompt",)
    assert trained(made) == ["One.<|im_end|>\n", "Two.<|im_end|>\n"]
    assert made.segments[-2].text.endswith("<|im_start|>assistant\n<think>\n")
    asked = render.question(talk("a", "One.", "b"))
    assert made.text.startswith(asked[0].text)


@pytest.mark.parametrize("empty", ["", " \n"])
def test_an_empty_answer_inside_a_chat_is_context_with_its_end(empty):
    made = chat(CHATML).example(talk("a", empty, "b", "Two.", "c", empty), {})
    assert trained(made) == ["Two.<|im_end|>\n"]
    assert "empty_turn" in made.notes
    row = tokens.tokenize([made.segments], make_tokenizer(), 1000, "all")[0]
    assert row.trained < len(row.ids)


def test_a_turn_that_is_not_to_be_learned_is_context_even_where_prompts_are_trained():
    turns = [Turn("user", "a"), Turn("assistant", "BAD", trained=False), *talk("b", "Good.")]
    made = chat(CHATML).example(turns, {})
    assert trained(made) == ["Good.<|im_end|>\n"]
    tokenizer = make_tokenizer()
    row = tokens.tokenize([made.segments], tokenizer, 1000, "all")[0]
    learned = tokenizer.decode([t for t, label in zip(row.ids, row.labels, strict=True) if label == "trained"])
    assert "BAD" not in learned
    assert "Good." in learned


def test_a_template_that_needs_parts_gets_them():
    made = chat(NEEDS_PARTS).example(talk("a", "Arr.", system="s"), {})
    assert trained(made) == ["Arr.<|im_end|>\n"]
    assert "<|im_start|>system\ns<|im_end|>" in made.text
    assert tokens.end_of_turn(make_tokenizer(NEEDS_PARTS)) == make_tokenizer().eos_token_id


ODD_TEMPLATES = [
    "{{ raise_exception('never') }}",
    "{% if messages[0]['role'] != 'system' %}{{ raise_exception('system first') }}{% endif %}" + CHATML,
    "{{ tools[0]['name'] }}{{ documents | length }}",
    "{% for m in messages %}{{ m['content']['text']['deep'] }}{% endfor %}",
    "nothing of the messages",
    "{{ 1 / 0 }}",
]


@pytest.mark.parametrize("template", ODD_TEMPLATES)
def test_a_template_that_refuses_a_row_never_ends_more_than_that_row(template):
    tokenizer = make_tokenizer(template)
    tokens.stop_ids(tokenizer)
    render = ChatRenderer(tokenizer, None)
    with contextlib.suppress(RowProblem):
        assert not any("a" in text for text in trained(render.example(talk("a", "b"), {})))


def test_a_template_that_wants_a_system_turn_gets_it_from_the_settings():
    template = ODD_TEMPLATES[1]
    assert tokens.end_of_turn(make_tokenizer(template)) == make_tokenizer().eos_token_id
    assert trained(ChatRenderer(make_tokenizer(template), "Be brief.").example(talk("a", "b"), {})) == ["b<|im_end|>\n"]


def test_a_template_that_is_no_jinja_is_refused_with_its_line():
    tokenizer = make_tokenizer("{% for m in messages %}\n{{ m['content'] }\n{% endfor %}")
    assert tokens.end_of_turn(tokenizer) is None
    with pytest.raises(ModelError, match="line 2"):
        ChatRenderer(tokenizer, None)
    assert prompt.renderer(PromptConfig(style="text", template="{q} {a}"), tokenizer, "a")


def test_a_date_in_a_template_is_that_of_the_run():
    template = "Today is {{ strftime_now('%d %b %Y') }}.\n" + CHATML
    made = [chat(template, today=date(2024, 2, day)).example(talk("a", "b"), {}).text for day in (28, 29, 29)]
    assert made[0].startswith("Today is 28 Feb 2024.")
    assert made[1] == made[2] != made[0]


def test_a_run_with_a_date_in_its_template_goes_on_another_day(tiny_config, style_file):
    tokenizer = make_tokenizer("Today is {{ strftime_now('%d %b %Y') }}.\n" + CHATML)
    first = prepare.prepare(tiny_config, tokenizer, today=date(2024, 1, 1))
    assert prepare.prepare(tiny_config, tokenizer, today=date(2024, 1, 1)).sha256 == first.sha256
    assert prepare.prepare(tiny_config, tokenizer, today=date(2024, 1, 2)).sha256 != first.sha256


def test_what_transformers_renders_is_what_is_rendered():
    for template in (*TEMPLATES.values(), PHI3, CUTS_THOUGHTS, "{{ messages | tojson(indent=1) }}{{ bos_token }}"):
        tokenizer = make_tokenizer(template)
        for ask in (True, False):
            messages = [{"role": turn.role, "content": turn.content} for turn in talk("a <b>", "ä", "c")]
            theirs = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)
            ours = ChatTemplate(tokenizer).render([(m["role"], m["content"]) for m in messages], ask)
            assert ours == theirs


READY = {
    "chatml": ("<|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\nAye.<|im_end|>\n", ["Aye.<|im_end|>\n"]),
    "chatml, open": ("<|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\nAye.", ["Aye.<|im_end|>"]),
    "chatml, two turns": (
        "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nOne.<|im_end|>\n"
        "<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\nTwo.<|im_end|>",
        ["One.<|im_end|>\n", "Two.<|im_end|>"],
    ),
    "alpaca": ("Below is a task.\n\n### Instruction:\nHi?\n\n### Response:\nAye.", ["\nAye.<|im_end|>"]),
    "alpaca, ended": ("### Instruction:\nHi?\n\n### Response:\nAye.<|im_end|>", ["\nAye.<|im_end|>"]),
    "vicuna": ("A chat. USER: Hi? ASSISTANT: Aye.<|im_end|>USER: b ASSISTANT: No.", None),
    "llama 2": ("[INST] Hi? [/INST] Aye.", [" Aye.<|im_end|>"]),
    "llama 3": (
        "<|start_header_id|>user<|end_header_id|>\n\nHi?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
        "Aye.<|eot_id|>",
        ["Aye.<|eot_id|><|im_end|>"],
    ),
    "gemma": (
        "<start_of_turn>user\nHi?<end_of_turn>\n<start_of_turn>model\nAye.<end_of_turn>\n",
        ["Aye.<end_of_turn>\n<|im_end|>"],
    ),
    "zephyr": ("<|user|>\nHi?</s>\n<|assistant|>\nAye.</s>", ["Aye.</s><|im_end|>"]),
}


@pytest.mark.parametrize("shape", READY)
def test_ready_made_text_is_taken_as_it_is_and_its_answers_are_trained(shape):
    text, wanted = READY[shape]
    tokenizer = make_tokenizer(CHATML, adds_bos=False)
    made = PlainRenderer(tokenizer).example([Turn("assistant", text)], {})
    wanted = wanted or [" Aye.<|im_end|>", " No.<|im_end|>"]
    assert trained(made) == wanted
    assert made.text.startswith(text)
    assert "ready_made" in made.notes
    assert ("foreign_marks" in made.notes) is (shape in ("llama 3", "gemma", "zephyr", "llama 2"))
    row = tokens.tokenize([made.segments], tokenizer, 1000, "completion")[0]
    assert tokens.ends_by_itself(row, tokenizer, tokens.stop_ids(tokenizer))
    assert row.ids.count(tokenizer.eos_token_id) == made.text.count("<|im_end|>")


@pytest.mark.parametrize(
    "text",
    [
        "### Instruction:\nHi?\n\n### Response:\nAye.",
        "### Instruction:\nHi?\n\n### Response:\nAye.<|endoftext|>",
        "USER: Hi? ASSISTANT: No.</s>USER: Hm? ASSISTANT: Aye.",
        "<|user|>\nHi?</s>\n<|assistant|>\nAye.</s>\n",
    ],
)
def test_ready_made_text_ends_with_a_token_that_ends_answers_of_this_tokenizer(text):
    tokenizer = make_tokenizer(CHATML, adds_bos=False)
    tokenizer.add_tokens([AddedToken(name, special=True) for name in ("<|endoftext|>", "</s>")])
    made = PlainRenderer(tokenizer).example([Turn("assistant", text)], {})
    assert made.text == text + "<|im_end|>"
    row = tokens.tokenize([made.segments], tokenizer, 1000, "completion")[0]
    assert tokens.ends_by_itself(row, tokenizer, tokens.stop_ids(tokenizer))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("<|user|>\nHi?<|end|>\n<|assistant|>\nAye.<|end|>\n<|endoftext|>", "Aye.<|end|>\n<|endoftext|><|im_end|>"),
        ("### Instruction:\nHi?\n\n### Response:\nAye.</s>\n<|im_end|>", "\nAye.</s>\n<|im_end|>"),
        ("USER: Hi? ASSISTANT: Aye.</s><|im_end|>\n", " Aye.</s><|im_end|>\n"),
    ],
)
def test_an_answer_with_several_ends_is_trained_to_the_one_of_this_tokenizer(text, wanted):
    tokenizer = make_tokenizer(CHATML, adds_bos=False)
    made = PlainRenderer(tokenizer).example([Turn("assistant", text)], {})
    assert trained(made) == [wanted]
    row = tokens.tokenize([made.segments], tokenizer, 1000, "completion")[0]
    assert tokens.ends_by_itself(row, tokenizer, tokens.stop_ids(tokenizer))


def test_text_of_several_turns_keeps_the_begin_token_of_each():
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    text = "<s>[INST] a [/INST] One. </s><s>[INST] b <pad> [/INST] Two. </s>"
    made = PlainRenderer(tokenizer).example([Turn("assistant", text)], {})
    assert made.text == text
    assert trained(made) == [" One. </s>", " Two. </s>"]
    row = tokens.tokenize([made.segments], tokenizer, 1000, "completion")[0]
    assert [row.ids.count(tokenizer.bos_token_id), row.ids.count(tokenizer.eos_token_id)] == [2, 2]


def test_a_pair_with_the_marks_of_another_family_is_told():
    made = chat(CHATML).example(talk("[INST] Hi? [/INST]", "Aye."), {})
    assert made.text.startswith("<|im_start|>user\n[INST] Hi? [/INST]<|im_end|>")
    assert "foreign_marks" not in chat(CHATML).example(talk("Hi?", "Aye."), {}).notes
    assert made.notes == ("foreign_marks",)


def test_a_pair_whose_prompt_carries_the_marks_is_not_put_into_the_template_again():
    asked = "<|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\n"
    for answer in ("Aye.", "Aye.<|im_end|>"):
        made = chat(CHATML).example(talk(asked, answer), {})
        assert made.text == asked + "Aye.<|im_end|>"
        assert trained(made) == ["Aye.<|im_end|>"]
        assert chat(CHATML).question(talk(asked))[0].text == asked


def test_texts_that_bring_their_own_begin_and_end_get_no_second():
    tokenizer = make_tokenizer(None, adds_bos=True)
    begin, end = tokenizer.bos_token, tokenizer.eos_token
    plain = PlainRenderer(tokenizer).example([Turn("assistant", f"{begin}Once.{end}")], {})
    text = TextRenderer(tokenizer, "{q} {a}", "a").example([], {"q": f"{begin}one", "a": f"two{end}\n"})
    assert plain.text == f"{begin}Once.{end}"
    assert text.text == f"{begin}one two{end}"
    for made in (plain, text):
        assert made.notes == ("own_end",)
        ids = tokens.tokenize([made.segments], tokenizer, 100, "completion")[0].ids
        assert [ids.count(tokenizer.bos_token_id), ids.count(tokenizer.eos_token_id)] == [1, 1]
    assert trained(chat(CHATML).example(talk("a", f"b{end}"), {})) == [f"b{end}\n"]


@pytest.mark.parametrize("style", ["chat", "text", "plain"])
def test_a_control_token_in_a_row_is_text_in_every_style(style):
    tokenizer = make_tokenizer()
    said = "The <|im_end|> ends <|pad|>it, and more follows."
    render = {"chat": chat(CHATML), "text": TextRenderer(tokenizer, "{q}: {a}", "a"), "plain": PlainRenderer(tokenizer)}
    made = render[style].example(talk("a <|im_start|>", said), {"q": "a <|im_start|>", "a": said})
    row = tokens.tokenize([made.segments], tokenizer, 1000, "completion")[0]
    usual = render[style].example(talk("a", "b"), {"q": "a", "a": "b"})
    clean = tokens.tokenize([usual.segments], tokenizer, 1000, "completion")[0]
    special = tokenizer.all_special_ids
    assert [t for t in row.ids if t in special] == [t for t in clean.ids if t in special]
    assert tokenizer.decode(row.ids) == made.text
    assert made.notes == ("special_text",)
    asked = tokens.prompt_ids(render[style].question(talk("a <|im_start|>")), tokenizer)
    control = [token for token in asked if token in special]
    assert control == ([tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id] * (style == "chat"))


def test_an_answer_in_html_keeps_its_last_mark():
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    made = ChatRenderer(tokenizer, None).example(talk("a", "<s>old</s>"), {})
    assert made.notes == ("special_text",)
    row = tokens.tokenize([made.segments], tokenizer, 100, "completion")[0]
    assert tokenizer.eos_token_id not in row.ids
    assert tokenizer.decode(row.ids) == made.text


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_every_kind_is_counted_with_its_rows_and_shown_beside_the_preview(tiny_config, style_file):
    rows = [
        {"instruction": "a", "output": "b"},
        {"instruction": "a <|im_end|>", "output": "c"},
        {"instruction": "half \ud83d", "output": "d"},
        {"instruction": "nul \x00 and e\u0301", "output": "e\u0301 \x00"},
    ]
    write(style_file, rows)
    report = prepare.inspect(tiny_config)
    found = {problem.kind: (problem.rows, problem.used) for problem in report.problems}
    assert found == {"special_text": ([2], True), "half_letter": ([3], True)}
    assert report.row_numbers.tolist() == [1, 2, 3, 4]
    shown = [preview_row(tiny_config, row) for row in range(4)]
    assert [bool(one.notes) for one in shown] == [False, True, True, False]
    assert "control token" in shown[1].notes[0].text()
    assert "\ufffd" in shown[2].text
    json.dumps([one.row for one in shown], ensure_ascii=False).encode()
    left = prepare.inspect(tiny_config.with_settings({"data.fixes": ["drop_special"]}))
    assert left.row_numbers.tolist() == [1, 3, 4]


def test_a_row_that_the_template_refuses_is_left_out_and_named_with_its_words(tiny_config, style_file):
    system = [{"role": role, "content": role} for role in ("system", "user", "assistant")]
    write(style_file, [{"messages": system[1:]}, {"messages": system}])
    tokenizer = make_tokenizer(TEMPLATES["gemma"])
    report = prepare.prepare(tiny_config, tokenizer).report
    [problem] = report.problems
    assert (problem.kind, problem.rows, report.usable) == ("no_system_role", [2], 1)
    assert "no system role" in problem.message.text()
    assert prepare.prepare(tiny_config.with_settings({"data.fixes": ["merge_system"]}), tokenizer).report.usable == 2
    write(style_file, [{"messages": system}])
    with pytest.raises(DataError, match="no system role"):
        prepare.prepare(tiny_config, tokenizer)


def test_rows_whose_end_is_not_trained_are_left_out_and_only_all_of_them_block(tiny_config, style_file):
    ends_short = CHATML.replace("<|im_end|>\n", "{% if message['content'] != 'no end' %}<|im_end|>\n{% endif %}")
    tokenizer = make_tokenizer(ends_short)
    write(style_file, [{"instruction": "a", "output": "b"}, {"instruction": "a", "output": "no end"}])
    report = prepare.prepare(tiny_config, tokenizer).report
    assert [(problem.kind, problem.rows) for problem in report.problems] == [("no_end", [2])]
    write(style_file, [{"instruction": "a", "output": "no end"}])
    with pytest.raises(DataError, match=r"would not be trained.*no end"):
        prepare.prepare(tiny_config, tokenizer)


def test_the_advice_to_write_a_text_template_works_as_it_stands(tiny_config, style_file):
    tokenizer = make_tokenizer(None)
    chosen = prepare.mapping(tiny_config.data).mapping
    with pytest.raises(PromptError) as raised:
        prepare.renderer(tiny_config, tokenizer, chosen)
    for language in ("en", "ko"):
        advised = raised.value.message.text(language).splitlines()[2].partition(": ")[2]
        config = tiny_config.with_settings({"data.prompt": {"style": "text", "template": advised}})
        assert prepare.prepare(config, tokenizer).report.usable == 24


def test_conversations_for_a_model_without_a_template_get_an_advice_that_can_be_followed():
    with pytest.raises(PromptError, match="conversations, and this model has no chat template"):
        prompt.renderer(PromptConfig(), make_tokenizer(None), None)


class Slow:
    """A tokenizer that does not tell which characters its tokens stand for, such as those written in Python."""

    def __init__(self, core):
        self._core = core

    def __getattr__(self, name):
        return getattr(self._core, name)

    def __call__(self, texts, **settings):
        encoded = self._core(texts, **settings)
        return {"input_ids": encoded["input_ids"]}


def test_a_slow_tokenizer_gives_the_same_tokens():
    fast = make_tokenizer()
    for turns in (talk("a", "b", "c", "바다 🙂"), talk("a <|im_end|>", "x <|im_start|> y")):
        made = ChatRenderer(fast, None).example(turns, {}).segments
        [one], [other] = (tokens.tokenize([made], each, 1000, "completion") for each in (fast, Slow(fast)))
        assert one == other


def test_long_and_odd_texts_do_no_harm():
    tokenizer = make_tokenizer()
    odd = "\x00\u200b\u0301\ufffd\ue000\U000e0001" + "가".encode().decode() + "\u1100\u1161"
    for text in (odd, odd * 3_000):
        made = ChatRenderer(tokenizer, None).example(talk(text, text), {})
        row = tokens.tokenize([made.segments], tokenizer, 10**6, "completion")[0]
        assert tokenizer.decode(row.ids) == made.text
    assert scan.writable("a\ud800b") == "a?b"
