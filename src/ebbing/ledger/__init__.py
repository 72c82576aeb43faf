"""A durable ledger of erasure requests: what came in, what was done, and evidence that can be checked.

Reading and writing it loads no tensor library; `ebbing.ledger.processing` does, where models are made to forget.
"""

from ebbing.errors import InputError

try:
    import cryptography  # noqa: F401
    import sqlalchemy  # noqa: F401
except ModuleNotFoundError as error:
    raise InputError(f"a ledger needs {error.name}: pip install 'ebbing[ledger]'.") from None

from ebbing.ledger.erasure import ErasureRequest
from ebbing.ledger.ledger import Added, Ledger
from ebbing.ledger.settings import Budget, Settings

__all__ = ["Added", "Budget", "ErasureRequest", "Ledger", "Settings"]
