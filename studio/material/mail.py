"""E-mail: mbox and eml. Quotes of what is answered, and signatures, are cut."""

import email
import re
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from email.utils import getaddresses, parsedate_to_datetime
from itertools import islice

from studio.material.message import Message, Place, clean, iso_moment, kind_of
from studio.material.parts import Part

NAME = "e-mail (mbox, eml)"
_HEADER = re.compile(
    r"^(?:From|To|Subject|Date|Message-ID|Received|Return-Path|MIME-Version|Delivered-To|X-[\w-]+|Content-Type|DKIM-Signature"
    r"|ARC-[\w-]+|Reply-To|Authentication-Results): ?", re.IGNORECASE | re.MULTILINE,
)  # fmt: skip
_MBOX = re.compile(rb"From \S+.{0,40}\d\d:\d\d")
_MOST = 50_000_000
"""Bytes of one mail, attachments included."""
_QUOTE_HEAD = re.compile(
    r"(?:On .{4,200} wrote|.{4,150}(?:작성|쓴 글|쓰셨습니다|작성함))\s*:\s*$"
    r"|-{2,} ?(?:Original Message|Forwarded message|원본 메시지|전달된 메시지|원본 메일|Original Mail|원문)\s?-{2,}\s*$"
    r"|_{20,}$|Begin forwarded message:\s*$"
)
_ANY_QUOTE_HEAD = re.compile(r"[^\n]{0,200}[\d@][^\n]{0,200}:")
"""Who wrote what follows, and when, in whatever language: it stands above a quote, and ends in a colon."""
_FIELDS = re.compile(r"\s*\*?(?:From|Sent|To|Subject|Date|보낸 ?사람|받는 ?사람|보낸 ?날짜|제목|날짜)\*? ?: ?\S")
_SIGNATURE = re.compile(
    r"--$|Sent from my \w+.{0,40}$|Get Outlook for \w+.{0,20}$|(?:나의|내) \w+에서 (?:보냄|전송).{0,20}$|\w+에서 보냄$"
)
_WRAPPED_HEAD = re.compile(r"^(On [^\n]{4,200})\n([^\n>]{0,200}wrote:)[ \t\r]*$", re.MULTILINE)
_BLANK = re.compile(r"\n{3,}")
_SUBJECT = re.compile(r"^(?:\s*(?:re|fw|fwd|회신|답장|전달)\s*(?:\[\d+\])?\s*:)+\s*", re.IGNORECASE)


def matches(part: Part) -> bool:
    """Whether this is a mail, or a box of mails."""
    if _MBOX.match(part.start.lstrip(b"\xef\xbb\xbf\r\n")):
        return True
    head = part.start[:8192].decode("utf-8", "replace").lstrip("\ufeff")
    names = {
        match.group().split(":")[0].lower() for match in _HEADER.finditer(head.split("\n\n")[0].split("\r\n\r\n")[0])
    }
    return bool(_HEADER.match(head)) and "from" in names and bool({"subject", "date", "to", "message-id"} & names)


def read(part: Part) -> Iterator[Message]:
    """Yield the mails; those with the same subject are one chat."""
    for number, content in enumerate(_mails(part), 1):
        place = Place(part.name, "", number)
        if content is None:
            yield Message("", None, "", "too_long", place)
            continue
        try:
            yield _message(email.message_from_bytes(content, policy=policy.default), place)
        except (ValueError, LookupError, TypeError, AttributeError, IndexError, RecursionError, OverflowError):
            yield Message("", None, "", "unreadable", place)  # the parser of headers is known to fail so on damage


def _mails(part: Part) -> Iterator[bytes | None]:
    """Yield the bytes of each mail; None in place of one that is too large."""
    if not _MBOX.match(part.start.lstrip(b"\xef\xbb\xbf\r\n")):
        yield part.read()
        return
    lines: list[bytes] = []
    size, is_blank, is_open = 0, True, False
    with part.open() as file:
        while line := file.readline(1 << 20):
            if is_blank and line.startswith(b"From ") and _MBOX.match(line):
                if is_open:
                    yield b"".join(lines) if size <= _MOST else None
                lines, size, is_open = [], 0, True
                continue
            size += len(line)
            if size <= _MOST:
                lines.append(line[1:] if line.startswith(b">From ") else line)
            is_blank = not line.strip()
    if is_open:
        yield b"".join(lines) if size <= _MOST else None


def _message(mail: EmailMessage, place: Place) -> Message:
    subject = clean(str(mail.get("Subject", "")))
    [(name, address), *_] = getaddresses([str(mail.get("From", ""))]) or [("", "")]
    try:
        stamp = parsedate_to_datetime(str(mail["Date"]))
    except (ValueError, TypeError):
        stamp = None
    chat = _SUBJECT.sub("", subject).lower() or f"mail {place.number}"
    words, has_files = _body(mail)
    words = own_words(words)
    kind = "media" if not words and has_files else kind_of(words)
    is_automatic = str(mail.get("Auto-Submitted", "no")).lower() != "no" or "List-Unsubscribe" in mail
    if is_automatic and kind == "text":
        kind = "bot"
    at = iso_moment(stamp.isoformat()) if stamp else None
    return Message(clean(name) or clean(address), at, words, kind, place._replace(chat=chat))


def _body(mail: EmailMessage) -> tuple[str, bool]:
    """Return the text of a mail, and whether it has attachments."""
    body = mail.get_body(("plain", "html"))
    has_files = any(True for _ in mail.iter_attachments())
    if body is None:
        return "", has_files
    payload = body.get_payload(decode=True) or b""
    try:
        words = payload.decode(body.get_content_charset("utf-8"), "replace")
    except LookupError:
        words = payload.decode("utf-8", "replace")
    if body.get_content_type() == "text/html":
        from studio.material.markup import blocks_of_html

        blocks = blocks_of_html(words, without=("blockquote", "style", "script", "head"))
        words = "\n".join(text for _, text in blocks).strip()
    return words.replace("\r\n", "\n"), has_files


def own_words(words: str) -> str:
    """Return what the writer of a mail added: without quotes, what stands below them, and the signature."""
    own_lines: list[str] = []
    lines = _WRAPPED_HEAD.sub(r"\1 \2", words).split("\n")
    for number, raw in enumerate(lines):
        line = raw.strip()
        if line[:1] == ">":
            continue
        below = next((text.strip() for text in islice(lines, number + 1, number + 4) if text.strip()), "")
        is_above_quote = below[:1] == ">"  # answers may stand between the quotes
        if is_above_quote and _ANY_QUOTE_HEAD.fullmatch(line):
            continue
        if len(line) < 450 and _QUOTE_HEAD.match(line):
            if is_above_quote:
                continue
            break
        if _SIGNATURE.match(line) or (_FIELDS.match(line) and _FIELDS.match(below)):
            break
        own_lines.append(raw.rstrip())
    return _BLANK.sub("\n\n", clean("\n".join(own_lines)))
