"""Runs a program with a small Ray of its own, on loopback: ray_on_this_host.py DIRECTORY PROGRAM ARGUMENTS"""

import runpy
import sys

import ray

_, directory, program, *_rest = sys.argv
ray.init(
    num_cpus=2,
    object_store_memory=200 * 2**20,
    include_dashboard=False,
    _node_ip_address="127.0.0.1",
    _temp_dir=directory,
)
sys.argv = sys.argv[2:]
runpy.run_path(program, run_name="__main__")
ray.shutdown()
