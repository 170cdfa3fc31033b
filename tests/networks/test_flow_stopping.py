"""Flow stops within a step of its work, on all threads."""

import threading
import time
from concurrent.futures import CancelledError

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from comfyui_motion.networks.flow.stopping import side_by_side, step


class Cancelled(Exception):
    pass


def test_results_come_in_order():
    assert list(side_by_side(lambda n: n * n, range(9))) == [n * n for n in range(9)]


def test_what_goes_wrong_on_a_thread_is_raised():
    def work(n):
        raise ValueError(f"{n}")

    with pytest.raises(ValueError, match="0"):
        list(side_by_side(work, range(3)))


def test_a_host_that_watches_layers_stops_it_in_the_midst_of_one():
    here, ended = threading.get_ident(), []

    def endless(_):
        try:
            while True:
                step()
                time.sleep(0.001)
        except CancelledError:
            ended.append(True)
            raise

    def listen(*_):
        if threading.get_ident() == here:
            raise Cancelled

    hook = register_module_forward_pre_hook(listen)
    try:
        with pytest.raises(Cancelled):
            list(side_by_side(endless, range(20)))
    finally:
        hook.remove()
    assert 0 < len(ended) <= torch.get_num_threads()
