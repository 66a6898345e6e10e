"""How long a chat export of 200,000 messages (100 MB) takes to become rows, and how much memory.

`python -m tests.bench.material` writes an export as Android does, makes rows of it in a process of its own, and prints
seconds, those of processor time (which other processes do not lengthen), and the peak of resident memory.
"""

import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

MESSAGES, BYTES = 200_000, 100_000_000
WORDS = [
    "오늘",
    "내일",
    "진짜",
    "우리",
    "그래서",
    "모임",
    "커피",
    "저녁",
    "영화",
    "사진",
    "봤어",
    "갔다",
    "왔는데",
    "좋더라",
    "재밌었어",
    "그러니까",
    "말이야",
    "천천히",
    "and",
    "then",
    "we",
    "went",
    "home",
    "because",
    "it",
    "was",
    "late",
    "2023년",
    "3시",
    "30분",
    "12,000원",
]

PERSONAL = (" 010-5555-0142", " garam@example.com", " https://example.com/a?token=abcd1234", " 한가람아", " 가람이가")


def write_export(path: Path, messages: int = MESSAGES, size: int = BYTES) -> None:
    """Write an export of about this many messages and bytes between three invented people."""
    draw, at = random.Random(0), datetime(2019, 1, 1, 9, 0)
    with open(path, "w", encoding="utf-8") as file:
        file.write("모임 3 카카오톡 대화\n저장한 날짜 : 2023년 5월 1일 오후 3:20\n\n")
        for _ in range(messages):
            at += timedelta(minutes=draw.choice((0, 1, 1, 2, 5, 900)) if draw.random() < 0.2 else draw.random() * 2)
            half, hour = ("오후" if at.hour >= 12 else "오전"), at.hour % 12 or 12
            words = " ".join(draw.choices(WORDS, k=max(1, size // messages // 10)))
            if draw.random() < 0.05:
                words += draw.choice(PERSONAL)
            stamp = f"{at.year}년 {at.month}월 {at.day}일 {half} {hour}:{at.minute:02}"
            file.write(f"{stamp}, {draw.choice(('회원님', '한가람', '오노을'))} : {words}\n")


def main() -> None:
    """Measure once."""
    with tempfile.TemporaryDirectory() as folder:
        export = Path(folder) / "chat.txt"
        write_export(export)
        began = time.perf_counter()
        command = [sys.executable, "-m", "studio", "data", "make", str(export), "--speaker", "회원님"]
        subprocess.run(
            [*command, "--out", str(Path(folder) / "rows.jsonl"), "--json"], check=True, stdout=subprocess.DEVNULL
        )
        seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime
    print(f"{export.name}: {seconds:.1f} s, {processor:.1f} s of processor time, {used.ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
