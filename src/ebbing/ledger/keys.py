"""The key that evidence is signed with: Ed25519, from the environment or a file that only its owner may read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ebbing.errors import InputError

VARIABLE = "EBBING_LEDGER_KEY"
DIGITS = 64  # hexadecimal digits of a seed or a public key of 32 bytes


@dataclass(frozen=True, repr=False)
class SigningKey:
    """A private key. Neither ``repr`` nor any message shows it.

    Attributes:
        public: 64 hexadecimal digits of the public key.
    """

    _private: Ed25519PrivateKey
    public: str

    def __repr__(self) -> str:
        """By the public half alone."""
        return f"SigningKey(public={self.public!r})"

    def sign(self, message: bytes) -> str:
        """128 hexadecimal digits."""
        return self._private.sign(message).hex()


class PublicKey:
    """What signatures are checked with.

    Args:
        digits: 64 hexadecimal digits.

    Attributes:
        digits: as a ledger writes them, in small letters.

    Raises:
        InputError: if it is no public key.
    """

    def __init__(self, digits: str) -> None:
        try:
            self._key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(digits))
            self.digits = self._key.public_bytes_raw().hex()
        except ValueError:
            raise InputError(f"a public key must be {DIGITS} hexadecimal digits, but is {digits[:80]!r}.") from None

    def verifies(self, signature: str, message: bytes) -> bool:
        """Whether a signature is of this key and this message."""
        try:
            self._key.verify(bytes.fromhex(signature), message)
        except (InvalidSignature, ValueError):
            return False
        return True


def _key_of(digits: str, where: str) -> SigningKey:
    try:
        seed = bytes.fromhex(digits.strip())
        private = Ed25519PrivateKey.from_private_bytes(seed)
    except ValueError:  # its text would show the key
        raise InputError(f"the key in {where} must be {DIGITS} hexadecimal digits, but is not.") from None
    return SigningKey(private, private.public_key().public_bytes_raw().hex())


def is_given() -> bool:
    """Whether a key is handed over in the environment."""
    return bool(os.environ.get(VARIABLE))


def make_key(path: Path) -> SigningKey:
    """A new key in a file with mode 0600; the one that is there already, if there is one."""
    if path.exists():
        return file_key(path)
    seed = Ed25519PrivateKey.generate().private_bytes_raw().hex()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(seed + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise InputError(f"the key {path} cannot be written: {error.strerror}. Choose another --key.") from None
    return _key_of(seed, str(path))


def read_key(path: Path) -> SigningKey:
    """The key of ``EBBING_LEDGER_KEY``, or of a file that nobody but its owner may read.

    Raises:
        InputError: if there is none, others may read it, or it is no key.
    """
    return _key_of(os.environ[VARIABLE], f"${VARIABLE}") if is_given() else file_key(path)


def file_key(path: Path) -> SigningKey:
    """The key of a file that nobody but its owner may read, whatever the environment says.

    Raises:
        InputError: if there is none, others may read it, or it is no key.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise InputError(f"the key {path} must be a file, but is none.")
        if os.name == "posix" and mode & 0o077:
            raise InputError(
                f"the key {path} must be readable by its owner alone (mode 0600), but has mode {stat.S_IMODE(mode):04o}. "
                f"chmod 600 {path}, and consider whether others have read it."
            )
        return _key_of(path.read_text(encoding="ascii"), str(path))
    except FileNotFoundError:
        raise InputError(
            f"evidence must be signed, but there is no key in {path}. Restore the file, or pass the key in ${VARIABLE}."
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"the key in {path} must be {DIGITS} hexadecimal digits, but is not.") from None
    except OSError as error:
        raise InputError(f"the key {path} must be readable, but is not: {error.strerror}.") from None
