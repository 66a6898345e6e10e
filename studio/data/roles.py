"""Who speaks: the names that users bring for system, user and assistant."""

from collections.abc import Iterable, Mapping

from studio.config import Role

TOOL = "tool"
"""The role of a tool call or its result, which is not text that anybody says."""

# fmt: off
ROLES: dict[str, str] = {
    **dict.fromkeys((
        "user", "human", "prompter", "usr", "customer", "client", "caller", "patient", "end_user", "enduser", "visitor",
        "사용자", "유저", "이용자", "고객", "손님", "민원인", "내담자", "환자", "질문자", "사람",
    ), "user"),
    **dict.fromkeys((
        "assistant", "gpt", "model", "bot", "chatbot", "chatgpt", "ai", "ai assistant", "llm", "claude", "agent",
        "doctor", "counselor", "counsellor", "therapist", "advisor", "representative", "support", "operator",
        "챗봇", "봇", "어시스턴트", "인공지능", "모델",
        "상담사", "상담원", "상담가", "상담자", "의사", "점원", "직원", "답변자", "응답자",
    ), "assistant"),
    **dict.fromkeys(("system", "developer", "시스템"), "system"),
    **dict.fromkeys((
        TOOL, "function", "function_call", "function-call", "functioncall", "function_response", "function-response",
        "tool_call", "tool-call", "tool_calls", "tool_response", "tool-response", "tool_result", "tool_results",
        "observation", "ipython", "environment", "function_call_output",
    ), TOOL),
}
"""Names of speakers, in lower case."""
# fmt: on


def role_of(name: str, own: Mapping[str, Role]) -> str | None:
    """Return the role that a name stands for (`skip` and `tool` are two more); the user's own names come first."""
    return own.get(name) or ROLES.get(name.lower())


def suggested(names: Iterable[str], own: Mapping[str, Role]) -> dict[str, str]:
    """Return the names that are not known, each with what it may stand for beside those that are."""
    roles = {name: role_of(name, own) for name in names}
    missing = [role for role in ("user", "assistant") if role not in roles.values()]
    unknown = [name for name, role in roles.items() if role is None]
    return {name: missing[number] if number < len(missing) else "skip" for number, name in enumerate(unknown)}
