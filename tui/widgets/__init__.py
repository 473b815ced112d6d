"""What is drawn line by line, so that a key costs few bytes."""
