"""Palette: every colour of the report: of its figures, its sheets of images and its pages."""

# The paper of figures, their text, and greys from dark to light.
PAPER, INK, DIM, PALE = "#ffffff", "#24282c", "#8b9096", "#9fb6c6"
FAINT, RULE = "#d3d9dd", "#dfe2e5"
# Okabe & Ito (2008): distinguishable with any kind of colour vision.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, YELLOW, PURPLE = "#56B4E9", "#F0E442", "#CC79A7"
# What a dark page replaces in a chart; it keeps all other colours.
DARK = {
    INK: "#e6e7e8",
    BLUE: "#3d9fdb",
    PALE: "#6f8b9e",
    FAINT: "#454d54",
    RULE: "#383d42",
    PAPER: "#1f2327",
}
# For sources and runs, which have no colour of their own.
SERIES = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY)
ROLE_COLORS = {"best": BLUE, "real_only": GREEN, "synthetic_only": ORANGE}
# The classes of training images; the last is white, as images are rarely white all over.
CLASS_COLORS = (SKY, ORANGE, GREEN, YELLOW, VERMILLION, PURPLE, BLUE, PAPER)
NO_SHARE = "#eef3f6"  # a cell of a table with a share of 0; one with a share of 1 is BLUE
# Numbers in such cells. They are neither PAPER nor INK, which a dark page replaces.
ON_DARK_CELL, ON_LIGHT_CELL = "#fefefe", "#1b1f22"
# Sheets: around the lines on an image, and behind a legend of light lines.
HALO, LEGEND_GROUND = "#000000b0", "#5a6066"
# Labels on an annotated image: RGB, as Pillow takes it.
DARK_RGB, LIGHT_RGB = (20, 20, 20), (255, 255, 255)

# Pages, by the name of the CSS variable.
PAGE = {
    "ink": "#1c2024",
    "paper": "#f7f7f5",
    "card": PAPER,
    "line": "#dddeda",
    "dim": "#5d6369",
    "accent": BLUE,
    "bad": "#b34700",
    "warn": "#fff0c9",
    "warn-line": ORANGE,
}
DARK_PAGE = PAGE | {
    "ink": DARK[INK],
    "paper": "#15181b",
    "card": DARK[PAPER],
    "line": DARK[RULE],
    "dim": "#a3a9af",
    "accent": "#6cb8e6",
    "bad": "#ff9a5c",
    "warn": "#3d3113",
}
PRINTED_PAGE = PAGE | {
    "ink": "#000000",
    "paper": PAPER,
    "line": "#cccccc",
    "dim": "#444444",
}
