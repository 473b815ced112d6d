"""Storages that opendal reaches: Azure, Google Cloud Storage, Backblaze B2, WebDAV, Dropbox, Google Drive, OneDrive, Swift.

kinds.py is the table of what each kind is told and how restic calls the same place; storage.py is the one storage for all of them;
failures.py turns opendal's errors into ours; room.py asks services that tell how much room there is. opendal is one wheel (Rust, about
40 MiB) and is loaded with this package, when such a storage is opened: the extra `opendal` brings it.

opendal speaks through one HTTP client for the whole process, so a proxy is set for all of these storages at once, in the environment of
the process (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY with http:// or socks5://, NO_PROXY), and so is a CA file (SSL_CERT_FILE). Both are read
when the first such storage is opened. opendal takes neither as an option of a storage.
"""

from __future__ import annotations

from engine.storages.opendal.kinds import KINDS
from engine.storages.opendal.storage import opener

open_azure = opener(KINDS["azure"])
open_b2 = opener(KINDS["b2"])
open_dropbox = opener(KINDS["dropbox"])
open_gcs = opener(KINDS["gcs"])
open_gdrive = opener(KINDS["gdrive"])
open_onedrive = opener(KINDS["onedrive"])
open_swift = opener(KINDS["swift"])
open_webdav = opener(KINDS["webdav"])
