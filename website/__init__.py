"""The documentation site: the hooks of MkDocs, the generated reference, and the pictures."""
