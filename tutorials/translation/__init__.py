"""What tutorials/translate.py is made of: files and pairs, options and settings, the run's folder, training, report."""


class UsageError(ValueError):
    """What was asked for does not go together; the message says what would."""


class DataError(ValueError):
    """The data cannot be used; the message names the file and line, and what to do."""


class RunError(RuntimeError):
    """A run ended before its end; the message says what is saved and how to go on."""
