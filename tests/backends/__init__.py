"""The real backends and the tests that need them. A package, so that its conftest.py is not the other tests'."""
