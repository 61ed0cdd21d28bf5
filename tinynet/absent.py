"""What tinynet leaves out of torch, and what to use instead: the sentence for who asks for it."""

ABSENT = {  # names: advice. docs/engine.md has the same as a table
    "amp autocast GradScaler half float16 bfloat16": "float32 or float64, the only floating dtypes",
    "compile jit": "nothing: leave the line out, there is no compiler",
    "distributed DataParallel DistributedSampler": (
        "tinynet.parallel, workers that share every batch"
    ),
    "einsum bmm mm outer dot addmm": "@, permute and sum",
    "cumsum prod bincount histc unique nonzero masked_select median meshgrid tril triu diag": (
        "where no gradient is wanted, NumPy's function of x.numpy()"
    ),
    "roll unbind tile narrow index_select scatter": "an index, cat, split, repeat",
    "logical_and logical_or logical_xor": "the bit operators, of bools",
    "bernoulli multinomial normal": "rand, compared with a probability; randn",
    "new_zeros new_ones new_tensor": "zeros_like and ones_like, or zeros with dtype and device",
    "Conv1d Conv3d MaxPool1d conv1d": "Conv2d and MaxPool2d of images with a height of 1",
    "ConvTranspose2d conv_transpose2d PixelShuffle grid_sample": "Upsample, then Conv2d",
    "AdaptiveMaxPool2d adaptive_max_pool2d": "amax over the last two axes, or MaxPool2d",
    "InstanceNorm2d LocalResponseNorm": "GroupNorm with as many groups as channels",
    "PReLU SELU Mish mish Hardtanh logsigmoid": "LeakyReLU, ELU, SiLU; where, clip, softplus",
    "Embedding LSTM GRU RNN MultiheadAttention TransformerEncoder": (
        "Linear, @ and softmax, of which these are made"
    ),
    "HuberLoss KLDivLoss kl_div CTCLoss TripletMarginLoss cosine_similarity": (
        "log_softmax, where, normalize and mean, of which these are made"
    ),
    "Adagrad NAdam RAdam Adamax Rprop LBFGS": (
        "SGD, Adam, AdamW, RMSprop, Adadelta, or a subclass of optim.Optimizer"
    ),
    "ConstantLR PolynomialLR CyclicLR ChainedScheduler MultiplicativeLR": (
        "LambdaLR, which takes any function of the epoch"
    ),
    "register_hook retain_grad register_full_backward_hook": (
        "a loop over tinynet.backprop(loss), which sees every gradient"
    ),
    "register_forward_pre_hook": "register_forward_hook, or a forward of your own",
    "weight_norm spectral_norm parameters_to_vector vector_to_parameters": (
        "arithmetic on the parameters, inside no_grad()"
    ),
    "Sampler RandomSampler SubsetRandomSampler WeightedRandomSampler": (
        "a list of indices as the sampler of DataLoader"
    ),
    "set_default_dtype get_default_dtype": "model.double(), and data in float64",
    "set_num_threads get_num_threads": "OPENBLAS_NUM_THREADS, set before Python starts",
    "get_rng_state set_rng_state": "manual_seed, or a Generator",
}


def sentence(owner, name):
    """What an AttributeError says of a name that `owner` does not have."""
    advice = next((advice for names, advice in ABSENT.items() if name in names.split()), None)
    if advice is None:
        return f"{owner} has no attribute {name!r}"
    return f"{owner} has no {name!r}; instead: {advice}"


def names_of(module):
    """A module's `__getattr__`: reached when it lacks a name."""

    def missing(name):
        raise AttributeError(sentence(module, name))

    return missing
