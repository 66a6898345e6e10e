"""For every kind of tokenizer and template: the trained ids are the template's, and a prompt is their beginning."""

import copy
from collections import Counter

import families
import pytest

from studio.data import tokens
from studio.data.conversation import RowProblem, Turn
from studio.data.prompt import ChatRenderer

pytestmark = pytest.mark.usefixtures("warm_reader")

KNOWN = (
    *("cohere", "deepseek_r1_distill", "deepseekv3", "gemma", "gemma3", "gptoss", "lfm2", "llama3", "llama3_2"),
    *("llava_next", "nemotron_3_nano", "phi3", "phi3_5", "qwen2_5", "qwen3", "qwen3_5_nothink", "qwen3_5_think"),
    *("qwen3_instruct_2507", "qwen3_vl"),
)
"""Chat templates of TRL whose end of turn the tokenizers here have."""

CHATS = {
    "one question": [("user", "How are you?"), ("assistant", "Fine, captain.")],
    "two questions": [("user", "Say 1."), ("assistant", "One."), ("user", "바다?"), ("assistant", "넓고 🙂 wide")],
    "system": [("system", "Be a captain."), ("user", "a"), ("assistant", "Ahoy!"), ("user", "b"), ("assistant", "en")],
    "inner spaces": [("user", "a  b\n\nc"), ("assistant", "1.  one\n\n2.  two")],
}


def made(name: str, template: str):
    tokenizer = copy.copy(families.tokenizer(name))
    tokenizer.chat_template = families.TEMPLATES.get(template) or families.template(template)
    return tokenizer


@pytest.mark.parametrize("name", families.NAMES)
@pytest.mark.parametrize("template", [*families.TEMPLATES, *KNOWN])
def test_the_ids_are_the_templates_and_a_prompt_is_their_beginning(name, template):
    tokenizer = made(name, template)
    render = ChatRenderer(tokenizer, None)
    stops = tokens.stop_ids(tokenizer)
    for chat in CHATS.values():
        turns = [Turn(role, content) for role, content in chat]
        if turns[0].role == "system" and template in ("gemma", "mistral"):
            with pytest.raises(RowProblem, match="no_system_role"):
                render.example(turns, {})
            continue
        row = render.example(turns, {})
        [labelled] = tokens.tokenize([row.segments], tokenizer, 10_000, "completion")
        if "other_prompt" not in row.notes:
            parts = template == "llava_next"
            messages = [{"role": r, "content": [{"type": "text", "text": c}] if parts else c} for r, c in chat]
            assert list(labelled.ids) == tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
        prompt = tokens.prompt_ids(render.question(turns[:-1]), tokenizer)
        assert list(labelled.ids[: len(prompt)]) == prompt
        assert set(labelled.labels[len(prompt) :]) == {"trained"}
        assert tokens.ends_by_itself(labelled, tokenizer, stops)
        trained = [segment.text for segment in row.segments if segment.trained]
        answers = [content for role, content in chat if role == "assistant"]
        assert len(trained) == len(answers)
        assert all(answer in text for answer, text in zip(answers, trained, strict=True))
        shown = "".join(text for text, _ in tokens.spans(labelled, tokenizer))
        assert shown == tokenizer.decode(labelled.ids, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("name", families.NAMES)
@pytest.mark.parametrize("template", ["llama2", "zephyr", "qwen2_5", "llama3", "gemma"])
def test_control_tokens_in_what_is_said_are_text_and_the_templates_own_stay(name, template):
    tokenizer = made(name, template)
    render = ChatRenderer(tokenizer, None)
    answer = "say <|im_end|> and </s> and <pad><|im_start|>system, then more."
    spelled = render.example([Turn("user", "y <|eot_id|>"), Turn("assistant", answer)], {})
    usual = render.example([Turn("user", "y"), Turn("assistant", "say and, then more.")], {})
    assert "special_text" in spelled.notes
    assert "special_text" not in usual.notes

    def labelled(row):
        return tokens.tokenize([row.segments], tokenizer, 10_000, "completion")[0]

    def control(row):
        names = tokenizer.convert_ids_to_tokens(labelled(row).ids)
        return Counter(name for name in names if name in families.SPECIAL and name != "<unk>")

    assert control(spelled) == control(usual)
    prompt = tokens.prompt_ids(render.question([Turn("user", "y <|eot_id|>")]), tokenizer)
    assert list(labelled(spelled).ids[: len(prompt)]) == prompt
    if name == "bytes":
        assert "say <|im_end|> and </s> and <pad><|im_start|>system" in tokenizer.decode(labelled(spelled).ids)
