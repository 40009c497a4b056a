"""Diagnosis: the checks of `polyprefix doctor`. None of them changes anything."""
