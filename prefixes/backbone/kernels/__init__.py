"""Kernels: the implementations of a backbone's operations, chosen by measurement at load.

Which implementation is fastest depends on the processor and on the sizes of the model. Nothing here
is therefore decided by the name of a processor: candidates are checked against plain PyTorch and
measured, and the choice is cached for the next start.
"""
