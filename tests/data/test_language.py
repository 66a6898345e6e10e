"""The language of a text is told from its letters and its commonest words, or not at all."""

import pytest

from studio.data.language import languages

KOREAN = "바다는 아침에 잔잔했고 모든 배가 항구를 떠날 준비를 마쳤습니다. 등대의 불빛이 천천히 꺼졌습니다."
JAPANESE = "海は朝には穏やかで、すべての船が港を出る準備ができていました。灯台の明かりがゆっくりと消えました。"
CHINESE = "早晨的大海很平静，所有的船都准备好离开港口了。灯塔的灯光慢慢地熄灭了，人们站在岸边挥手告别，海鸥飞翔。"
ENGLISH = "The sea was calm in the morning, and all of the ships were ready to leave the harbour."


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([ENGLISH], ("en",)),
        ([KOREAN], ("ko",)),
        (
            ["海は朝には穏やかで、すべての船が港を出る準備ができていました。灯台の明かりがゆっくりと消えました。"],
            ("ja",),
        ),
        (
            [
                "早晨的大海很平静，所有的船都准备好离开港口了。灯塔的灯光慢慢地熄灭了，人们站在岸边挥手告别，海鸥在天空中飞翔。"
            ],
            ("zh",),
        ),
        (["Le matin, la mer était calme et tous les bateaux étaient prêts à quitter le port de la ville."], ()),
        (["Am Morgen war das Meer ruhig, und alle Schiffe waren bereit, den Hafen der Stadt zu verlassen."], ()),
        (["Утром море было спокойным, и все корабли были готовы покинуть гавань большого города."], ()),
        (
            [
                ENGLISH,
                "바다는 아침에 잔잔했고 모든 배가 항구를 떠날 준비를 마쳤습니다. 등대의 불빛이 천천히 꺼졌습니다.",
            ],
            ("en", "ko"),
        ),
        (["Aye!"], ()),
        ([], ()),
    ],
)
def test_what_cannot_be_told_is_left_out(texts, found):
    assert languages(texts) == found
