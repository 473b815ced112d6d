"""What asks, and what is read and closed again."""
