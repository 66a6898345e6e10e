"""The page's look: one accent (teal), one warning colour (amber), greys, in light and dark."""

from pathlib import Path

from gradio.themes import Base, sizes
from gradio.themes.utils.colors import Color

SHEETS = ("root.css", "page.css", "compare.css", "recipe.css", "runs.css", "export.css")
_ABOVE = "html:not(.a.a.a)"
"""What all but the first stand in: more specific than any rule of Gradio's, wherever that is loaded."""
FONT_FOLDER = Path(__file__).parent / "fonts"
"""The page's font in parts, made by `presets/fonts/subset.py`, with its style sheet and license."""
FONTS = (
    "Restyle Sans",
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Apple SD Gothic Neo",
    "Malgun Gothic",
    "Noto Sans KR",
    "Noto Sans CJK KR",
    "sans-serif",
)
MONO = (
    "ui-monospace",
    "SFMono-Regular",
    "Menlo",
    "Consolas",
    "D2Coding",
    "Noto Sans Mono CJK KR",
    "monospace",
    "Restyle Sans",
)

_TEAL = Color(
    "#f0fdfa",
    "#ccfbf1",
    "#99f6e4",
    "#5eead4",
    "#2dd4bf",
    "#14b8a6",
    "#0d9488",
    "#0f766e",
    "#115e59",
    "#134e4a",
    "#042f2e",
    name="teal",
)
_INK = Color(
    "#f8f9fb",
    "#f1f3f6",
    "#e3e7ed",
    "#ccd3dd",
    "#98a2b3",
    "#667085",
    "#4b5565",
    "#364152",
    "#202939",
    "#131a26",
    "#0b1019",
    name="ink",
)


def theme() -> Base:
    """Return the theme."""
    base = Base(
        primary_hue=_TEAL,
        secondary_hue=_TEAL,
        neutral_hue=_INK,
        text_size=sizes.Size(
            name="text", xxs="12px", xs="13px", sm="14px", md="16px", lg="17px", xl="20px", xxl="26px"
        ),
        spacing_size=sizes.spacing_md,
        radius_size=sizes.radius_md,
        font=FONTS,
        font_mono=MONO,
    )
    return base.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_800",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_50",
        background_fill_secondary_dark="*neutral_900",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_700",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="0px",
        block_border_width_dark="0px",
        block_shadow="none",
        block_shadow_dark="none",
        block_padding="0px",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        block_title_text_weight="600",
        block_title_text_size="*text_sm",
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_title_padding="0",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_info_text_size="*text_xs",
        input_background_fill="white",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_600",
        input_border_color_focus_dark="*primary_400",
        input_border_width="1px",
        input_shadow="none",
        input_shadow_focus="0 0 0 3px rgba(13, 148, 136, .22)",
        input_text_size="*text_md",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_400",
        button_primary_background_fill_hover_dark="*primary_300",
        button_primary_text_color="white",
        button_primary_text_color_dark="*neutral_950",
        button_primary_border_color="transparent",
        button_secondary_background_fill="transparent",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="transparent",
        button_secondary_background_fill_hover_dark="*neutral_800",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_600",
        button_secondary_text_color="*neutral_800",
        button_secondary_text_color_dark="*neutral_100",
        button_border_width="1px",
        button_border_width_dark="1px",
        button_large_text_size="*text_md",
        button_large_text_weight="600",
        button_small_text_size="*text_sm",
        button_large_padding="8px 20px",
        button_small_padding="4px 12px",
        checkbox_background_color_selected="*primary_700",
        checkbox_background_color_selected_dark="*primary_400",
        checkbox_border_color="*neutral_400",
        checkbox_border_color_dark="*neutral_500",
        checkbox_label_background_fill="transparent",
        checkbox_label_background_fill_dark="transparent",
        checkbox_label_background_fill_hover="*neutral_100",
        checkbox_label_background_fill_hover_dark="*neutral_800",
        checkbox_label_background_fill_selected="*primary_50",
        checkbox_label_background_fill_selected_dark="*primary_950",
        checkbox_label_border_color="*neutral_300",
        checkbox_label_border_color_dark="*neutral_700",
        checkbox_label_border_color_selected="*primary_700",
        checkbox_label_border_color_selected_dark="*primary_400",
        checkbox_label_border_width="1px",
        checkbox_label_border_width_dark="1px",
        checkbox_label_text_color="*neutral_800",
        checkbox_label_text_color_dark="*neutral_100",
        checkbox_label_text_color_selected="*primary_800",
        checkbox_label_text_color_selected_dark="*primary_200",
        checkbox_label_text_size="*text_sm",
        checkbox_label_text_weight="500",
        checkbox_label_padding="6px 12px",
        table_border_color="*neutral_200",
        table_border_color_dark="*neutral_700",
        table_even_background_fill="white",
        table_even_background_fill_dark="*neutral_900",
        table_odd_background_fill="*neutral_50",
        table_odd_background_fill_dark="*neutral_950",
        layout_gap="16px",
        form_gap_width="0px",
        color_accent="*primary_700",
        border_color_accent="*primary_700",
        border_color_accent_dark="*primary_400",
        color_accent_soft="*primary_50",
        color_accent_soft_dark="*primary_950",
    )


def css() -> str:
    """Return the page's own style sheets, joined, with its fonts."""
    fonts = (FONT_FOLDER / "fonts.css").read_text(encoding="utf-8")
    root, *sheets = ((Path(__file__).parent / name).read_text(encoding="utf-8") for name in SHEETS)
    return f"{fonts}\n{root}\n{_ABOVE} {{\n" + "\n".join(sheets) + "\n}\n"
