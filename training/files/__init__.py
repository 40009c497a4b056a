"""Files of labeled rows: tables, lines, tagged sentences, read with the place of every row."""
