"""The package on a pretended device: a CUDA GPU, or an Apple one, that any machine has.

    PYTHONPATH=. .venv/bin/python -m pytest -q -p tests.device.pretend tests/device

Tensors say ``cuda:0`` and compute on the CPU; whatever a device refuses is refused, and whatever makes the
host wait for it is counted. It needs a C++ compiler once. Other runs of pytest leave this folder out, because
it must be there before torch is.
"""
