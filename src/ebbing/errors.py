"""Errors that are the user's to mend; everything else that is raised is a defect of ebbing."""


class InputError(ValueError):
    """What the user passed cannot be used. The message states the rule, the finding and the way out.

    The command line turns it into exit code 2; any other exception is exit code 1.
    """


class DataNotFoundError(InputError):
    """A data set is in none of the places looked at; the message lists them."""
