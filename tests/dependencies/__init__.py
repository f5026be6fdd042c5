"""Versions of Python and of the dependencies: the constraints, and the tests on each of them."""
