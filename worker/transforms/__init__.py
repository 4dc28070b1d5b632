"""The other half of the transforms: `apply(params, inputs)` adds the information, `remove` takes it away.

Inputs are images `(B, C, H, W)` in [0, 1], features `(B, D)` or hashes of words `(B, L)`, before normalisation; results
are new tensors of the same shape.
"""
