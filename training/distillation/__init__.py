"""Teachers: fine-tuned models whose answers a prefix learns."""
