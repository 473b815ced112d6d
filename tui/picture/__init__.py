"""The first picture: the first screen's rows, drawn before Textual is imported, which takes longer than all before it. Textual then draws the same
over it.

    first.py     whether there is one, and what is read for it
    lines.py     the screen as lines of text and tone, by the functions that the widgets draw by
    tones.py     tones as escape sequences, by the theme
    standing.py  the terminal as long as the picture stands: takes it, gives it to Textual's driver, or gives it back

Nothing here imports Textual.
"""
