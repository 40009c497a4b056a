"""Files of labelled rows: tables, lines, tagged sentences, read with the place of every row."""
