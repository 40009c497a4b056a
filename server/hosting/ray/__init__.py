"""Serving on Ray: ingress replicas speak HTTP, engine replicas run batches. See docs/ray.md."""
