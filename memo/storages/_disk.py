"""Folders that only their owner may enter, and whether a folder lies on another host."""

from __future__ import annotations

import os
import stat

from .. import _group

#: Kinds of file systems that other hosts write to as well, where a mapped file and locks are not to be relied on.
_NETWORK = """
nfs nfs4 cifs smb smb2 smb3 smbfs afs ncpfs 9p ceph glusterfs lustre gpfs beegfs pvfs2 orangefs ocfs2 gfs2 davfs
fuse.sshfs fuse.glusterfs fuse.ceph fuse.s3fs fuse.rclone fuse.davfs2 fuse.juicefs fuse.gcsfuse fuse.mount-s3
"""


def make_folder(path: str) -> None:
    """The folder and what is missing above it, each 0700 from its first moment, whatever the umask lets through."""
    try:
        os.mkdir(path, 0o700)
        _group.made(path)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    except FileNotFoundError:
        parent = os.path.dirname(path)
        if parent in ("", path):
            raise
        make_folder(parent)
        make_folder(path)


def distrusted(path: str) -> str | None:
    """Why others may have put something into this folder, in words; None where they can't, or it is not there yet."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    if not hasattr(os, "getuid"):
        return None
    if status.st_uid not in (os.getuid(), 0):
        return f"it belongs to the user with id {status.st_uid}, not to you (id {os.getuid()}) or root"
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        return f"others may write to it (mode {stat.S_IMODE(status.st_mode):04o}); chmod go-w would change that"
    return None


def is_network(path: str) -> bool:
    """True where the folder is known to lie on another host (Linux; elsewhere False)."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            lines = mounts.read().splitlines()
    except OSError:
        return False
    path = os.path.realpath(path)
    depth, kind = -1, ""
    for line in lines:  # id parent major:minor root MOUNT-POINT options ... - TYPE source options
        fields = line.split(" ")
        point = fields[4].replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= depth:  # a later mount on the same point hides the earlier one
            depth, kind = len(point), fields[fields.index("-") + 1]
    return kind in _NETWORK.split()
