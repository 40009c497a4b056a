"""The agreement between a server and its training workers.

The server imports these modules and nothing else of `training`. They import no torch.
"""
