"""Loads the backbone of a training with the kernels that its checkpoint needs."""

from pathlib import Path

from prefixes.backbone import Backbone, load_backbone
from prefixes.backbone.kernels.names import AUTO, PLAIN, Kernels
from prefixes.errors import KernelUnavailable
from training.errors import CheckpointRejected
from training.sessions.checkpoint import Checkpoint
from training.settings.plan import TrainPlan


def load_to_train(
    plan: TrainPlan,
    device: str,
    saved: Checkpoint | None,
    *,
    kernel_cache: Path | None,
    num_processes: int,
) -> Backbone:
    """Load the backbone of a training.

    A resumed training keeps its kernels, also if a new measurement would choose others, because
    those would compute other bits. Several processes must take the same steps, but each would
    measure for itself. By default, they therefore use plain kernels.

    Raises:
        CheckpointRejected: when this machine does not support the kernels of the checkpoint.
        PrefixError: when the backbone cannot be loaded.
    """
    by_default = PLAIN if num_processes > 1 else Kernels(AUTO, AUTO)
    if saved is not None:
        by_default = saved.kernels
    kernels = Kernels(
        by_default.linear if plan.linear_kernel == AUTO else plan.linear_kernel,
        by_default.attention if plan.attention_kernel == AUTO else plan.attention_kernel,
    )
    try:
        return load_backbone(
            plan.backbone,
            device=device,
            dtype=plan.dtype,
            linear_kernel=kernels.linear,
            attention_kernel=kernels.attention,
            kernel_cache=kernel_cache,
            to_train=True,
        )
    except KernelUnavailable as error:
        if saved is None or kernels != saved.kernels:
            raise
        raise CheckpointRejected(
            f"The checkpoint {saved.path} needs kernels that this machine does not support: linear "
            f"{kernels.linear} and attention {kernels.attention}. Resume on the machine that it "
            "was started on, or choose another output folder"
        ) from error
