"""Age at which a file's times show every later change (younger ones are "racy" to git)."""

SECOND_NS = 1_000_000_000


def racy_window_ns(stamp_ns: int, fine_ns: int = SECOND_NS) -> int:
    """Return the age in nanoseconds from which a later change is sure to give a file another time.

    A time with fractions of a second needs `fine_ns`. One without may be of a file system that stores whole seconds, or
    every second one (vfat). Its clock is a tick late, and later on a machine that its host paused.
    """
    return fine_ns if stamp_ns % SECOND_NS else 3 * SECOND_NS
