"""Middleware: layers around every route, from body limits to the request log."""
