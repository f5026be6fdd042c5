"""When the times of a file tell it from every later state of it."""

SECOND_NS = 1_000_000_000


def settles_after(stamp_ns: int, fine_ns: int = SECOND_NS) -> int:
    """Return how old, in nanoseconds, the time of a file must be for a later change to give it another time.

    A time with fractions of a second needs `fine_ns`. One without may be of a file system that keeps whole seconds, or
    two of them (vfat); its clock is a tick late, and a machine that its host holds up is later.
    """
    return fine_ns if stamp_ns % SECOND_NS else 3 * SECOND_NS
