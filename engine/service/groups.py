"""All groups of methods of the Engine, and with them what every verb asks for and gives: a fifth of a second to import."""

from __future__ import annotations

from engine.service.alerts import AlertMethods
from engine.service.backups import BackupMethods
from engine.service.configuration import ConfigurationMethods
from engine.service.evidence import EvidenceMethods
from engine.service.guard import GuardMethods
from engine.service.jobs import JobMethods
from engine.service.logs import LogMethods
from engine.service.reporting import ReportMethods
from engine.service.restores import RestoreMethods
from engine.service.status import StatusMethods
from engine.service.storages import StorageMethods
from engine.service.timetables import TimetableMethods
from engine.service.trying import TryingMethods
from engine.service.units import UnitMethods
from engine.service.work import WorkMethods


class AllMethods(
    ConfigurationMethods,
    StorageMethods,
    BackupMethods,
    WorkMethods,
    LogMethods,
    TryingMethods,
    RestoreMethods,
    TimetableMethods,
    EvidenceMethods,
    GuardMethods,
    JobMethods,
    StatusMethods,
    UnitMethods,
    AlertMethods,
    ReportMethods,
):
    """Every verb."""
