"""What the palette finds for what is typed, and how it is done from wherever one is.

matching.py holds typed words against a text; lines.py takes a line apart and makes the rows, values in and values out; going.py goes to a
place and does it; used.py remembers what was used. The dialog itself is tui/dialogs/palette.py.
"""
