"""Running out of memory: known on every device, met by halving, told once it cannot be halved."""

import pytest
import torch

from comfyui_motion import InputError
from comfyui_motion.memory import in_parts, is_out_of_memory

CUDA = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
MPS = RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)")
BUFFER = RuntimeError("Invalid buffer size: 20.00 GiB")
WINDOWS = RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.")


@pytest.mark.parametrize("error", [CUDA, MPS, BUFFER, WINDOWS, MemoryError()])
def test_what_devices_say_when_they_are_full_is_understood(error):
    assert is_out_of_memory(error)


def test_what_this_computer_says_when_it_is_full_is_understood():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), InputError("no such picture")])
def test_other_errors_are_no_lack_of_memory(error):
    assert not is_out_of_memory(error)

    def work(batch):
        raise error

    with pytest.raises(type(error)):
        list(in_parts(work, range(4)))


@pytest.mark.parametrize("error", [CUDA, MPS, WINDOWS])
def test_a_batch_that_does_not_fit_is_done_in_halves_in_order(error):
    def work(batch):
        if len(batch) > 2:
            raise error
        return list(batch)

    assert list(in_parts(work, range(3, 8))) == [[3, 4], [5], [6, 7]]
    tensors = list(in_parts(lambda batch: work(batch.tolist()), torch.arange(5)))
    assert sum(tensors, []) == [0, 1, 2, 3, 4]


def test_one_frame_that_does_not_fit_says_so():
    def work(batch):
        raise MPS

    with pytest.raises(RuntimeError, match="MPS backend"):
        list(in_parts(work, range(4)))
