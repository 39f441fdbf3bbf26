"""Layers and devices that several systems share: attention, loss balancing, phrases, strategy codebook."""
