"""Dialects: routes in the shapes of other servers' APIs."""
