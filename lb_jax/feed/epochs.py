"""What becomes of the end of an epoch."""

import enum


class LastBatch(enum.StrEnum):
    """What becomes of the rows of an epoch that do not fill a batch."""

    CONTINUE = "continue"  # the next epoch fills their batch
    DROP = "drop"  # they are left out of this epoch; others are, next time
