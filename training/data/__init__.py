"""A task's rows: checked whole, parted, and tokenized."""
