"""Real servers and programs for the tests: one file each, started on 127.0.0.1, stopped by their process id, found through fixtures."""
