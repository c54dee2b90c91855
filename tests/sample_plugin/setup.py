"""Compiles the engine; everything else is in pyproject.toml. INTERMODAL_PURE=1 leaves it interpreted."""

from setuptools import setup

from intermodal.build import mypycify

MODULES = ["src/intermodal_sample/_engine.py", "src/intermodal_sample/_loops.py"]

setup(ext_modules=mypycify({"intermodal_sample": MODULES}))
