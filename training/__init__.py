"""Trains prefixes and measures them.

From the bottom up, each folder imports only what stands above it in this list:

- `sources`, `errors`: where labeled rows come from, and what can go wrong with them.
- `files`: rows of CSV, JSON, CoNLL and Parquet files. `recipes`: ready-made settings by name.
- `datasets`: published datasets and their layouts. `examples`: rows as typed values.
- `settings`: the configuration of one training, of a plan, and of a sweep.
- `tasks`: how each task type reads rows, computes its loss, and measures its answers.
- `data`: reads and checks the rows of a configuration, splits them, and tokenizes them.
- `learning`: the training loop, the learned parameters and their evaluation.
- `baselines`: full fine-tuning, for comparison. `search`: sweeps over settings.
- `results`: calibrated prefix files, reports and charts.
- `distillation`: teachers, whose answers a prefix learns. `few_shot`: heads without training.
- `sessions`: complete trainings, with checkpoints and warm starts.
- `service`: trainings that a server starts for its tenants.

The command line and `service` are the entry points.
"""
