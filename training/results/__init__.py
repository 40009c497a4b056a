"""Results of a training: metrics, calibration, pictures, and the prefix file."""
