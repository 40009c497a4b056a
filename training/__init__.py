"""How a prefix is made and measured.

From the rows up: `files` reads them, `datasets` knows the published sets, `settings` is what is
asked for, `tasks` what is particular to a type of task; `data` brings rows and settings together,
`learning` is the loop, `baselines` and `search` go beside it, `results` is what came of it, and
`sessions` are whole trainings. People come in by the `command_line`, a server by its `service`.
"""
