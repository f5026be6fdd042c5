PROGRAM = "PYREGISTRY_FUZZ_PROGRAM"
"""Variable of the environment: the program by whose name libFuzzer may begin this process once more."""
