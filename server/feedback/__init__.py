"""Feedback: recorded answers and right answers as stored texts, sealed and opened."""
