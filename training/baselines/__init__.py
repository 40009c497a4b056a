"""Ways to learn a task that prefixes are held against."""
