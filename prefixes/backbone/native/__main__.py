"""Compile attention, vectors and int8 rounding for CPUs: `python -m prefixes.backbone.native`.

Run once at installation. It always succeeds, because everything works without the library; it
prints what it did.
"""

import time

from prefixes.backbone.native.build import CompilationFailed, build


def main() -> None:
    start = time.monotonic()
    try:
        path = build()
    except CompilationFailed as error:
        print(  # noqa: T201
            f"compiled kernels: not available, because {error}. PyTorch's attention serves "
            "instead, and batches of short texts, vectors and int8 layers take longer on a CPU."
        )
    else:
        seconds = time.monotonic() - start
        print(f"compiled kernels: {path.name} is ready ({seconds:.0f} s)")  # noqa: T201


if __name__ == "__main__":
    main()
