"""The arithmetic by its definition: what each op computes, forward and backward side by side.

Every op is written as a lecturer would write it on a slide, with NumPy's functions, which call
CuPy's for arrays on a GPU. Nothing here is there for speed (`tinynet/fast` is), and arguments have
been checked before, by Tensor's methods, `nn.functional` and the layers. Images are (N, C, H, W).
"""
