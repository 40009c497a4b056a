"""The bytes of prefixes, trainings and batch files in a bucket that several servers share.

Any service with the S3 protocol has such buckets. `bucket.py` is the only module that calls it.
"""
