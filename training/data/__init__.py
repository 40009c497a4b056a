"""The rows of a task: read, checked, split and tokenized."""
