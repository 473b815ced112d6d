"""The four panes, and the views in them: one file a view."""
