"""The console: what is backed up, when, restored from where and kept in which storage, from the keyboard, over a slow line.

Knows the Engine, events, model and errors, nothing deeper; no job runs in this process. The map::

    __main__.py    opens the home, becomes the app
    haste.py       what lets the first screen come sooner
    start.py       options, whether the terminal will do, what Textual reads when it is imported
    picture/       the first picture, which stands before Textual is imported
    opening.py     from the app's start until its first screen is seen
    app.py         wiring: engine, theme, keys, screens
    screen.py      the one screen: where am I, tabs, pane, job drawer, message, hints
    frame.py       what the lines of the frame say, and which parts a terminal has room for: for the screen and the first picture
    actions/       the table of actions, from which bindings, help, palette, hints and the page of keys (KEYS.md) are made
    place.py       a part of the screen with keys of its own: performs actions, says why one is off
    bridge.py      follows the catalog, and turns an error of the engine into a sentence on the screen
    batches.py     jobs that run one after the other, and their one verdict
    panes/         one file a view
    palette/       what the palette finds for what is typed, and how it is done from anywhere
    dialogs/       what asks: confirmations, forms, menus, the palette, help, a page of text
    dialogs/wizards/  forms that define hosts, sources, storages, schedules, destinations, plans; and the guide through an empty home
    paths.py       paths of this machine as they are typed, pasted, dropped
    widgets/       what is drawn line by line: rows, lines, plots
    colourless.py  for NO_COLOR
    terminal.py    what is repaired in Textual's driver
    browser/       the same in a browser of this machine: who is let in, and a child for each page
    keys.py        the keys that do things now, for sentences that name one
    keyboard.py    what comes from the keyboard, made safe: noise, old mouse reports, pastes
    themes are data, in ../themes
"""
