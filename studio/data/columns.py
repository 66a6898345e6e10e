"""The column names that users bring, compared without case and outer space; of each list the first match wins."""

# fmt: off
USER = [
    "instruction", "prompt", "question", "query", "input", "user", "q", "problem", "source",
    "질문", "질의", "지시", "지시문", "입력", "명령어",
    "human", "patient", "utterance", "instructions", "user_message", "user_input", "user_prompt", "user_query",
    "input_text", "inputs",
    "prompt_text", "question_text", "request", "message", "문제", "요청", "사용자", "고객", "프롬프트",
]
INSTRUCTION = ["instruction", "instructions", "prompt", "지시", "지시문", "명령어"]
SUBJECT = ["input", "question", "query", "problem", "user_input", "입력", "질문", "질의"]
"""Names of a text that an instruction is about."""
WEAK = ["source", "message", "inputs"]
"""Names of a user's text that are often something else: they count after those of a document."""
ASSISTANT = [
    "output", "response", "answer", "completion", "assistant", "a", "target", "solution", "reply", "lyric", "lyrics",
    "답변", "응답", "대답", "출력", "정답", "가사",
    "answers", "responses", "outputs", "completions", "bot", "gpt", "chatbot", "doctor", "assistant_message",
    "bot_response",
    "model_output", "output_text", "answer_text", "response_text", "target_text", "generated_text", "ideal",
    "tgt", "gold_answer", "reference_answer", "ground_truth", "챗봇", "상담사", "상담원", "어시스턴트",
]
VERSION = [
    "summary", "highlights", "abstract", "translation", "rewrite",
    "rewritten", "corrected", "correction",
    "요약", "요약문", "번역", "번역문", "교정", "교정문",
]
"""Names of another version of a text, which is no reply to a conversation."""
PREFERRED = ["chosen", "preferred_output", "chosen_response", "preferred_response"]
REJECTED = ["rejected", "non_preferred_output", "rejected_response", "rejected_output"]
LABEL = ["label", "labels"]
"""Names of an annotation, which is an answer only where it is no class."""
SYSTEM = [
    "system", "system_prompt", "persona", "시스템", "페르소나",
    "system_message", "system_instruction", "systeminstruction", "systemprompt", "system prompt", "sys_prompt",
    "시스템 프롬프트", "시스템프롬프트", "시스템_프롬프트",
]
CONTEXT = ["context", "article", "passage", "지문"]
DOCUMENT = [
    "text", "document", "article", "dialogue", "dialog", "conversation", "passage", "context", "content", "source_text",
    "src", "transcript", "paragraph", "sentence", "본문", "원문", "지문", "기사", "문서", "문장", "내용", "대화",
]
"""Names of a text that is answered to, where no other column asks something."""
CHAT = [
    "messages", "conversations", "conversation", "dialogue", "dialog", "chat", "대화",
    "dialogues", "dialogs", "chats", "contents", "turns", "utterances", "message_list", "chat_messages", "thread",
    "transcript", "items", "대화내용", "대화 내용", "대화목록", "채팅",
]
STRINGS = [name for name in CHAT if name not in ("turns", "utterances", "contents", "items", "transcript")]
"""Names of a column whose list of texts is a conversation: the user's and the assistant's by turns."""
HISTORY = ["history", "chat_history", "conversation_history", "dialogue_history", "이전대화", "이전 대화"]
TEXT = ["text", "content", "본문"]
TOOLS = frozenset({"tools", "functions", "toolconfig"})
MEDIA = frozenset({"images", "image", "image_path", "audios", "audio", "videos", "video"})
ATTACHED = {
    *TOOLS, *MEDIA, "entities", "relations", "spans", "tokens", "links", "citations", "metadata", "meta",
    "attachments", "files", "comments", "generationconfig", "safetysettings", "toolchoice",
}
"""Columns whose lists of objects are no speech; lower case."""
# fmt: on
