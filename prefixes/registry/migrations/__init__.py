"""The steps that bring a registry's database to the tables of this version; append-only."""
