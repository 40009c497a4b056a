"""What came of a training: figures, calibration, pictures, and the prefix file."""
