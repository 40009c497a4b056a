"""How a prefix is made and measured."""
