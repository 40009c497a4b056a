"""What a training is asked to do: one configuration, and plans of many."""
