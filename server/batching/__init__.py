"""Batching: the queue, the scheduler and the threads that run batches on the device."""
