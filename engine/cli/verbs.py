"""The table of verbs: what each is called, where it lives, and what it does in one line. Imports nothing of the engine."""

from __future__ import annotations

from typing import Final, NamedTuple


class Verb(NamedTuple):
    """One verb, as it stands in the table."""

    target: str
    """"module:NAME" below engine.cli, of a `command.Command`."""
    summary: str


VERBS: Final[dict[str, Verb]] = {
    "demo": Verb("demo:DEMO", "show the whole loop on this machine alone"),
    "host add": Verb("host:ADD", "define a machine that is reached over SSH"),
    "host test": Verb("host:TEST", "connect, and say what is there and what no source covers"),
    "host grants": Verb("host:GRANTS", "print the least privilege that the host's sources need"),
    "host list": Verb("host:LIST", "list all hosts"),
    "host show": Verb("host:SHOW", "show one host"),
    "host edit": Verb("host:EDIT", "change a host"),
    "host remove": Verb("host:REMOVE", "forget a host"),
    "source add": Verb("source:ADD", "define what is backed up"),
    "source test": Verb("source:TEST", "prove that a source can be read now"),
    "source list": Verb("source:LIST", "list all sources"),
    "source show": Verb("source:SHOW", "show one source"),
    "source edit": Verb("source:EDIT", "change a source"),
    "source remove": Verb("source:REMOVE", "forget a source; its backups stay"),
    "storage add": Verb("storage:ADD", "create a repository, or open the one that is there"),
    "storage test": Verb("storage:TEST", "write, read back and delete; measure both ways"),
    "storage usage": Verb("storage:USAGE", "say what a storage holds"),
    "storage recovery-kit": Verb("storage:RECOVERY_KIT", "print all that a restore without holdfast needs"),
    "storage unlock": Verb("storage:UNLOCK", "remove locks whose holder is proved dead"),
    "storage rotate-password": Verb("storage:ROTATE_PASSWORD", "change the repository's password"),
    "storage move": Verb("storage:MOVE", "move it to another place, with all its backups"),
    "storage enable": Verb("storage:ENABLE", "switch a storage on"),
    "storage disable": Verb("storage:DISABLE", "switch a storage off"),
    "storage make-default": Verb("storage:MAKE_DEFAULT", "use it where no storage is named"),
    "storage list": Verb("storage:LIST", "list all storages"),
    "storage show": Verb("storage:SHOW", "show one storage, and who locks it"),
    "storage edit": Verb("storage:EDIT", "change a storage"),
    "storage remove": Verb("storage:REMOVE", "forget a storage; its repository stays"),
    "vault set": Verb("vault:SET", "seal a secret under a name"),
    "vault list": Verb("vault:LIST", "list the names of all secrets"),
    "vault remove": Verb("vault:REMOVE", "forget a secret"),
    "vault rotate": Verb("vault:ROTATE", "seal all secrets anew under a fresh key"),
    "backup": Verb("backup:BACKUP", "back up sources, or standard input"),
    "backups": Verb("browse:BACKUPS", "list backups"),
    "show": Verb("browse:SHOW", "show one backup"),
    "ls": Verb("browse:LS", "list the files of a backup"),
    "dump": Verb("browse:DUMP", "write a file of a backup to standard output"),
    "diff": Verb("browse:DIFF", "compare two backups, or a backup with what is live"),
    "find": Verb("browse:FIND", "find files in all backups"),
    "restore": Verb("restore:RESTORE", "bring a backup back: files or databases"),
    "rollback": Verb("rollback:ROLLBACK", "swap back what was live before a restore in place"),
    "discard": Verb("rollback:DISCARD", "remove what a restore in place put aside"),
    "plan add": Verb("plan:ADD", "write a recovery plan down: several sources in their order"),
    "plan list": Verb("plan:LIST", "list all recovery plans"),
    "plan show": Verb("plan:SHOW", "show one recovery plan"),
    "plan run": Verb("plan:RUN", "bring back what a plan names, one clock, one verdict"),
    "plan drill": Verb("plan:DRILL", "rehearse a plan as one drill"),
    "plan remove": Verb("plan:REMOVE", "forget a recovery plan"),
    "drill": Verb("drill:DRILL", "rehearse a restore: into a scratch target, checked, timed, thrown away"),
    "evidence list": Verb("evidence:LIST", "list what drills left"),
    "evidence show": Verb("evidence:SHOW", "show one drill's evidence, and who signed it off"),
    "evidence sign-off": Verb("evidence:SIGN_OFF", "stand by the evidence of a drill, by name"),
    "evidence public-key": Verb("evidence:PUBLIC_KEY", "print what others check this home's evidence with"),
    "evidence verify": Verb("evidence:VERIFY", "check evidence with a public key, on any machine"),
    "verify": Verb("upkeep:VERIFY", "prove that a storage, or a backup, is whole"),
    "forget": Verb("upkeep:FORGET", "forget backups by a policy"),
    "prune": Verb("upkeep:PRUNE", "delete what no backup needs"),
    "copy": Verb("upkeep:COPY", "copy backups from one storage to another"),
    "download": Verb("download:DOWNLOAD", "pack a backup, or a part of it, into one file"),
    "share": Verb("share:SHARE", "put a backup, or a part of it, where a link leads to it"),
    "shares": Verb("share:SHARES", "list what a storage shares"),
    "unshare": Verb("share:UNSHARE", "end what a link leads to"),
    "erase": Verb("erase:ERASE", "erase one path from all backups of a source"),
    "protect": Verb("keeping:PROTECT", "keep a backup from forget and delete"),
    "unprotect": Verb("keeping:UNPROTECT", "end a backup's protection, and its hold"),
    "hold": Verb("keeping:HOLD", "keep a backup, and say why"),
    "delete": Verb("keeping:DELETE", "forget backups in every storage"),
    "catalog copy": Verb("keeping:COPY_CATALOG", "seal a copy of all that is defined into storages"),
    "recover": Verb("keeping:RECOVER", "rebuild a lost catalog from a repository alone"),
    "job show": Verb("job:SHOW", "show one job"),
    "job log": Verb("job:LOG", "print a job's log"),
    "job cancel": Verb("job:CANCEL", "ask a job to end"),
    "job follow": Verb("job:FOLLOW", "watch a job until its end"),
    "jobs": Verb("job:JOBS", "list jobs"),
    "worker": Verb("job:WORKER", "run the jobs that wait and those that are due, until it is stopped"),
    "service install": Verb(
        "service:INSTALL", "make the worker a service of systemd, kept from what it does not need"
    ),
    "service uninstall": Verb("service:UNINSTALL", "stop the service, and take its units away"),
    "service status": Verb("service:STATUS", "say how the service is, and which workers live"),
    "status": Verb("status:STATUS", "say what is at risk, and why"),
    "notify add": Verb("notify:ADD", "define where people are told, by mail, chat, webhook or ping"),
    "notify test": Verb("notify:TEST", "send a message there at once"),
    "notify list": Verb("notify:LIST", "list where people are told, and what became of the last message"),
    "notify remove": Verb("notify:REMOVE", "tell nobody there any more"),
    "notify flush": Verb("notify:FLUSH", "send what waits to be told"),
    "audit": Verb("diagnosis:AUDIT", "print who did what, or prove the log whole"),
    "doctor": Verb("diagnosis:DOCTOR", "print what a bug report needs, secrets left out"),
    "completion": Verb("completion:COMPLETION", "print a completion script for a shell"),
}
NOUNS: Final = frozenset(name.partition(" ")[0] for name in VERBS if " " in name)
"""First words that need a second one."""
