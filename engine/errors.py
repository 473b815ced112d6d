"""Every error that holdfast raises on purpose.

The tree (exit codes are those of the command line's contract; a class without one inherits its parent's)::

    HoldfastError                      1
      UsageError                       2
        UnknownNameError               2
        ConfigurationError             2
      RefusedError                     5
      AlreadyRunningError              6
      InterruptedJobError            130
      DeadlinePassedError              1
      ProofFailedError                 4
      HostError                        1
        HostUnreachableError           1  retryable
        ConnectionLostError            1  retryable
        LoginRefusedError              1
        HostKeyUnknownError            1
        HostKeyChangedError            1
        CommandFailedError             1
        CommandTimeoutError            1  retryable
        ToolMissingError               1
      SourceError                      1
        IncompleteDumpError            1
        PathMissingError               1
        HostileListingError            1
      StorageError                     1
        StorageUnreachableError        1  retryable
        StorageDeniedError             1
        StorageFullError               1
        StorageReadOnlyError           1
        StorageBehindError             1
        ObjectMissingError             1
        ShortReadError                 1  retryable
      RepositoryError                  1
        NoRepositoryError             10
        RepositoryExistsError          1
        UnsupportedRepositoryError     1
        RepositoryLockedError         11
        LockLostError                  1
        WrongPasswordError            12
        DamagedError                   1
        UnknownSnapshotError           2
        BackupTooLargeError            1
      CatalogError                     1
        CatalogBusyError               1  retryable
        CatalogDamagedError            1
        CatalogVersionError            1
        CatalogReplacedError           1
      VaultError                       1
      RestoreError                     1
      NotificationError                1  retryable

A message is one sentence in lower case without a full stop that names the host, source or object; `hint` says what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class HoldfastError(Exception):
    """something went wrong"""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.hint = hint

    @property
    def message(self) -> str:
        """The one sentence for people."""
        return str(self.args[0])


class UsageError(HoldfastError):
    """the command was not understood"""

    exit_code = 2


class UnknownNameError(UsageError):
    """there is nothing of that name"""

    exit_code = 2


class ConfigurationError(UsageError):
    """the configuration holds a mistake"""

    exit_code = 2

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        line: int = 0,
        others: Sequence[ConfigurationError] = (),
    ) -> None:
        """`line` is where it stands; `others` are the mistakes that were found besides, in the order of their lines."""
        super().__init__(message, hint=hint)
        self.line = line
        self.others = tuple(others)


class RefusedError(HoldfastError):
    """that is not allowed here"""

    exit_code = 5


class AlreadyRunningError(HoldfastError):
    """that is already running"""

    exit_code = 6


class InterruptedJobError(HoldfastError):
    """the job was interrupted; what was done is safe"""

    exit_code = 130


class DeadlinePassedError(HoldfastError):
    """the job's deadline passed before it could begin"""


class ProofFailedError(HoldfastError):
    """the proof failed"""

    exit_code = 4


class HostError(HoldfastError):
    """the host could not do what was asked"""


class HostUnreachableError(HostError):
    """the host cannot be reached"""

    retryable = True


class ConnectionLostError(HostError):
    """the connection to the host was lost"""

    retryable = True


class LoginRefusedError(HostError):
    """the host refused the login"""


class HostKeyUnknownError(HostError):
    """the host's key is not known"""


class HostKeyChangedError(HostError):
    """the host's key has changed"""


class CommandFailedError(HostError):
    """a command failed on the host"""


class CommandTimeoutError(HostError):
    """a command took too long on the host"""

    retryable = True


class ToolMissingError(HostError):
    """a tool is missing on the host"""


class SourceError(HoldfastError):
    """the source could not be read"""


class IncompleteDumpError(SourceError):
    """the dump ended before it was whole"""


class PathMissingError(SourceError):
    """the path is not there"""


class HostileListingError(SourceError):
    """the host sent a listing that no honest host sends"""


class StorageError(HoldfastError):
    """the storage could not do what was asked"""


class StorageUnreachableError(StorageError):
    """the storage cannot be reached"""

    retryable = True


class StorageDeniedError(StorageError):
    """the storage refused access"""


class StorageFullError(StorageError):
    """the storage is full"""


class StorageReadOnlyError(StorageError):
    """the storage is read-only"""


class StorageBehindError(StorageError):
    """the storage was too slow to keep up with the others"""


class ObjectMissingError(StorageError):
    """the storage holds no such object"""


class ObjectExistsError(StorageError):
    """the storage holds an object of that name already"""


class ShortReadError(StorageError):
    """the storage returned fewer bytes than were asked for"""

    retryable = True


class RepositoryError(HoldfastError):
    """the repository could not do what was asked"""


class NoRepositoryError(RepositoryError):
    """there is no repository at that place"""

    exit_code = 10


class RepositoryExistsError(RepositoryError):
    """there is a repository already at that place"""


class UnsupportedRepositoryError(RepositoryError):
    """the repository is of a version that holdfast does not read"""


class RepositoryLockedError(RepositoryError):
    """the repository is locked"""

    exit_code = 11


class LockLostError(RepositoryError):
    """the repository's lock was lost, so writing stopped"""


class WrongPasswordError(RepositoryError):
    """the password opens no key of the repository"""

    exit_code = 12


class DamagedError(RepositoryError):
    """something in the repository is damaged"""


class UnknownSnapshotError(RepositoryError):
    """the repository holds no such snapshot"""

    exit_code = 2


class BackupTooLargeError(RepositoryError):
    """the backup would add more than it may"""


class CatalogError(HoldfastError):
    """the catalog could not do what was asked"""


class CatalogBusyError(CatalogError):
    """the catalog is locked by another process"""

    retryable = True


class CatalogDamagedError(CatalogError):
    """the catalog is damaged"""


class CatalogVersionError(CatalogError):
    """the catalog is of another version of holdfast"""


class CatalogReplacedError(CatalogError):
    """the catalog is not the file any more that was opened"""


class VaultError(HoldfastError):
    """the vault could not be opened"""


class RestoreError(HoldfastError):
    """the restore could not be finished"""


class NotificationError(HoldfastError):
    """the message was not taken"""

    retryable = True
