"""What a server and its training workers agree on.

The server imports these modules and nothing else of `training`. They import no torch.
"""
