"""The exercises in the order of the course; each module holds one theme, solutions included."""

from tinynet.exercises.course import (
    batchnorm,
    convolution,
    gradients,
    losses,
    pooling,
    separable,
    sizes,
    three_paths,
    training,
)

ORDER = (
    *(gradients.descent_step, gradients.multiply_backward, gradients.add_backward),
    *(gradients.matmul_backward, gradients.linear_backward),
    *(losses.relu6_backward, losses.cross_entropy_forward, losses.cross_entropy_backward),
    *(pooling.max_pool_backward,),
    *(sizes.conv_size, convolution.conv_forward, sizes.receptive_field),
    *(convolution.conv_gx, convolution.conv_gw),
    *(separable.depthwise_forward, separable.depthwise_gx, separable.depthwise_gw),
    *(separable.pointwise_backward, sizes.separable_cost),
    *(batchnorm.batchnorm_forward, batchnorm.batchnorm_running, three_paths.batchnorm_backward),
    *(training.sgd_step, training.nesterov_step, training.cosine_rate),
)
COURSE = {exercise.name: exercise for exercise in ORDER}
