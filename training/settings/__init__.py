"""The configuration of one training, of a plan of several trainings, and of a sweep."""
