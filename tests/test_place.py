"""Default places, markers, whose a folder is, and network disks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo import _place
from memo._place import default_folder, default_place, is_network, make_place, owner_ok, project_root, read_marker
from memo.errors import PlaceError


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MEMO_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


# ------------------------------------------------------------------------------------------------ default place


@pytest.mark.parametrize("mark", ["pyproject.toml", "setup.py", ".git"])
def test_the_root_is_the_nearest_parent_that_looks_like_a_project(tmp_path: Path, mark: str) -> None:
    inner = tmp_path / "project" / "package" / "deep"
    inner.mkdir(parents=True)
    (tmp_path / "project" / mark).touch()
    assert project_root(str(inner / "module.py")) == str(tmp_path / "project")
    assert project_root(str(inner)) == str(tmp_path / "project")


def test_without_a_project_the_root_is_the_folder_of_the_file_or_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scripts").mkdir()
    assert project_root(str(tmp_path / "scripts" / "run.py")) == str(tmp_path / "scripts")
    monkeypatch.chdir(tmp_path / "scripts")
    assert project_root(None) == project_root("run.py") == str(tmp_path / "scripts")


def test_the_default_is_in_the_cache_folder_of_the_user_and_one_per_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    found = set()
    for parent in ("a", "b"):
        (tmp_path / parent / "my shop").mkdir(parents=True)
        folder = default_folder(str(tmp_path / parent / "my shop" / "run.py"))
        assert folder is not None
        name, _, digits = os.path.basename(folder).rpartition("-")
        assert (name, len(digits), os.path.dirname(folder)) == ("my-shop", 8, str(tmp_path / "caches" / "memo"))
        found.add(folder)
    assert len(found) == 2
    assert not (tmp_path / "caches").exists()  # asking makes nothing


def test_pyproject_and_then_memo_dir_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.memo]\nlocation = "build/results"\n')
    start = str(tmp_path / "package" / "module.py")
    assert default_place(start) == (str(tmp_path / "build" / "results"), str(tmp_path / "pyproject.toml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMO_DIR", "elsewhere")
    assert default_place(start) == (str(tmp_path / "elsewhere"), "MEMO_DIR")
    monkeypatch.setenv("MEMO_DIR", "~/elsewhere")
    assert default_folder(start) == str(tmp_path / "home" / "elsewhere")
    monkeypatch.setenv("MEMO_DIR", "redis://host/0")
    assert default_folder(start) == "redis://host/0"


@pytest.mark.parametrize("home", ["nowhere", "file"])
def test_no_usable_home_is_none_and_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / home))
    folder, why = default_place(str(tmp_path / "x.py"))
    assert folder is None
    assert "MEMO_DIR" in why
    assert not (tmp_path / "nowhere").exists()


def test_a_working_directory_that_is_gone_is_no_error(tmp_path: Path) -> None:
    text = (
        "import os; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n"
        "from memo._place import default_folder; print(default_folder(None) is not None)"
    )
    (tmp_path / "program.py").write_text(text)
    clean = {name: value for name, value in os.environ.items() if name != "MEMO_DIR"}
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "True\n", done.stderr


# ------------------------------------------------------------------------------------------------------- marker


def test_a_place_says_what_is_in_it_and_is_left_alone_by_backups_and_git(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cache"
    marker = make_place(str(folder), "files", limits={"max_size": 5})
    assert (marker.storage, marker.limits, marker.format) == ("files", {"max_size": 5}, _place.FORMAT)
    assert marker.made_by.startswith("memo ")
    assert read_marker(str(folder)) == marker == make_place(str(folder)) == make_place(str(folder), "files")
    assert (folder / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert "*" in (folder / ".gitignore").read_text().splitlines()
    assert sorted(os.listdir(folder)) == [".gitignore", "CACHEDIR.TAG", "memo.json"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_folders_and_files_are_private_under_any_umask(tmp_path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        make_place(str(tmp_path / "new" / "cache"))
    finally:
        os.umask(old)
    for folder in ("new", "new/cache"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700
    for file in (tmp_path / "new" / "cache").iterdir():
        assert file.stat().st_mode & 0o177 == 0, file


def test_what_is_absent_or_as_good_as_empty_has_no_marker(tmp_path: Path) -> None:
    assert read_marker(str(tmp_path / "absent")) is None
    folder = tmp_path / "empty"
    folder.mkdir()
    assert read_marker(str(folder)) is None
    for name in (".gitignore", ".gitkeep", ".memo-0123456789abcdef.tmp"):
        (folder / name).touch()
    assert read_marker(str(folder)) is None
    assert make_place(str(folder), "sqlite").storage == "sqlite"


def test_a_folder_that_memo_did_not_make_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    for use in (read_marker, make_place):
        with pytest.raises(PlaceError, match=r"is not a cache of memo: it holds .*thesis\.tex"):
            use(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["home", "thesis.tex"]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in ("file", "file/below"):
        for use in (read_marker, make_place):
            with pytest.raises(PlaceError, match="it is a file, or lies below one"):
                use(str(tmp_path / path))


def test_another_storage_than_the_one_there_is_refused_and_says_both(tmp_path: Path) -> None:
    folder = str(tmp_path / "cache")
    make_place(folder, "files")
    with pytest.raises(PlaceError, match=r"storage 'files', and storage='sqlite' was asked for\. Leave out"):
        make_place(folder, "sqlite")
    assert make_place(folder, default="sqlite").storage == "files"


def test_limits_are_kept_until_others_are_given(tmp_path: Path) -> None:
    folder = str(tmp_path / "cache")
    make_place(folder, limits={"max_size": 1})
    assert make_place(folder).limits == {"max_size": 1}
    make_place(folder, limits={"max_entries": 2})
    marker = read_marker(folder)
    assert marker is not None
    assert marker.limits == {"max_entries": 2}


def test_a_newer_format_is_refused_by_name_of_its_maker(tmp_path: Path) -> None:
    folder = str(tmp_path / "cache")
    make_place(folder)
    newer = {"format": _place.FORMAT + 1, "made_by": "memo 9.0", "kind": ["changed", "fields"]}
    (tmp_path / "cache" / "memo.json").write_text(json.dumps(newer))
    for use in (read_marker, make_place):
        with pytest.raises(PlaceError, match=r"made by memo 9\.0 in format 2; this memo reads up to format 1"):
            use(folder)


@given(content=st.binary(max_size=80) | st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_place.Marker._fields[1:]), inner)
), max_leaves=5).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_damage_of_the_marker_is_healed_from_its_second_copy(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("damaged") / "cache"
    made = make_place(str(folder), "files", limits={"max_size": 7})
    (folder / "memo.json").write_bytes(content)
    assert read_marker(str(folder)) == made
    assert make_place(str(folder)) == made
    assert json.loads((folder / "memo.json").read_text()) == made._asdict()


def test_both_copies_damaged_is_said_and_nothing_is_changed(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    make_place(str(folder))
    (folder / "memo.json").write_bytes(b"")
    (folder / "CACHEDIR.TAG").write_bytes(b"\xff")
    for use in (read_marker, make_place):
        with pytest.raises(PlaceError, match=r"memo\.json is damaged.*Remove the folder"):
            use(str(folder))
    assert (folder / "memo.json").read_bytes() == b""


def test_a_link_or_a_pipe_in_place_of_the_marker_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    make_place(str(elsewhere), "files")
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    (folder / "memo.json").symlink_to(elsewhere / "memo.json")
    with pytest.raises(PlaceError, match="symbolic link"):
        read_marker(str(folder))
    (folder / "memo.json").unlink()
    os.mkfifo(folder / "memo.json")
    with pytest.raises(PlaceError):
        read_marker(str(folder))


def _make(folder: str, number: int) -> str:
    try:
        return make_place(folder, ["files", "sqlite"][number % 2]).storage
    except PlaceError as error:
        return f"refused: {error}"


def test_many_processes_and_threads_agree_on_the_first(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        for number in range(8):
            folder = str(tmp_path / f"cache{number}")
            asked = list(pool.map(_make, [folder] * 16, range(16)))
            marker = read_marker(folder)
            assert marker is not None
            assert asked.count(marker.storage) == 8
            assert sum(said.startswith("refused: ") and repr(marker.storage) in said for said in asked) == 8
            assert sorted(os.listdir(folder)) == [".gitignore", "CACHEDIR.TAG", "memo.json"]


@pytest.mark.parametrize("count", [60, pytest.param(200, marks=pytest.mark.slow)])
def test_who_reads_while_another_makes_the_place_sees_nothing_or_all(tmp_path: Path, count: int) -> None:
    """A storage puts its own files there right after the marker: a reader in between must not call that foreign."""
    folders = [str(tmp_path / f"cache{i}") for i in range(count)]
    seen: set[str | None] = set()
    failed: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                for folder in folders:
                    marker = read_marker(folder)
                    seen.add(marker and marker.storage)
        except BaseException as error:
            failed.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for folder in folders:
        make_place(folder, "files")
        (Path(folder) / "entries").touch()
    done.set()
    reader.join()
    assert not failed
    assert seen <= {None, "files"}


def test_a_marker_that_appears_just_after_it_was_missed_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, listdir = str(tmp_path / "cache"), os.listdir

    def late(path: str) -> list[str]:
        monkeypatch.setattr(os, "listdir", listdir)
        make_place(folder, "files")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", late)
    marker = read_marker(folder)
    assert marker is not None
    assert marker.storage == "files"


@pytest.mark.parametrize("links", [True, False])
def test_disks_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def no_link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", no_link)
    folder = str(tmp_path / "cache")
    assert make_place(folder, "files") == read_marker(folder)
    assert sorted(os.listdir(folder)) == [".gitignore", "CACHEDIR.TAG", "memo.json"]


@pytest.mark.parametrize("call", ["open", "fsync", "link", "mkdir"])
def test_a_failing_disk_leaves_no_half_of_a_marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    folder = tmp_path / "cache"
    real = getattr(os, call)

    def full(*arguments: object, **named: object) -> object:
        if call == "open" and str(arguments[0]).endswith("memo.json"):
            return real(*arguments, **named)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    if call == "link":  # then it is renamed into place
        make_place(str(folder), "files")
    else:
        with pytest.raises(OSError, match="No space"):
            make_place(str(folder), "files")
    monkeypatch.undo()
    assert not folder.exists() or not [name for name in os.listdir(folder) if name.startswith(".memo-")]
    assert make_place(str(folder), "files") == read_marker(str(folder))


# -------------------------------------------------------------------------------------------------------- owner


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_folder_of_another_user_is_not_trusted(tmp_path: Path) -> None:
    os.chown(tmp_path, 4321, -1)
    why = owner_ok(str(tmp_path))
    assert why is not None
    assert "4321" in why


@pytest.mark.parametrize(
    ("mode", "who"), [(0o700, None), (0o755, None), (0o770, "its group"), (0o707, "everybody"), (0o1777, None)]
)
def test_a_folder_that_others_can_write_to_is_not_trusted(tmp_path: Path, mode: int, who: str | None) -> None:
    tmp_path.chmod(mode)
    why = owner_ok(str(tmp_path))
    assert (why is None) == (who is None)
    assert who is None or (why is not None and who in why and "chmod go-w" in why)


def test_a_folder_that_can_not_be_looked_at_is_not_trusted(tmp_path: Path) -> None:
    assert "can't be looked at" in str(owner_ok(str(tmp_path / "absent")))


def test_what_memo_makes_is_trusted(tmp_path: Path) -> None:
    make_place(str(tmp_path / "cache"))
    assert owner_ok(str(tmp_path / "cache")) is None


# ------------------------------------------------------------------------------------------------ network disks

MOUNTS = rb"""overlay / overlay rw 0 0
tmpfs /tmp tmpfs rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sda1 /home/local ext4 rw 0 0
host:/data /mnt/my\040data\303\251 fuse.sshfs rw 0 0
/dev/sdb1 /mnt/usb fuseblk rw 0 0
auto /net autofs rw 0 0
server:/x /net nfs rw 0 0
server:/y /covered nfs rw 0 0
/dev/sdc1 /covered xfs rw 0 0
short
"""


@pytest.mark.parametrize(
    ("path", "network"),
    [
        ("/", False),
        ("/tmp/x", False),
        ("/home", True),
        ("/home/me/cache", True),
        ("/homes", False),
        ("/home/local/me", False),
        ("/mnt/my data\u00e9/x", True),
        ("/mnt/usb/x", False),
        ("/net/x", True),
        ("/covered/x", False),
    ],
)
def test_the_kind_of_disk_is_that_of_the_innermost_mount(
    path: str, network: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mounts"
    table.write_bytes(MOUNTS)
    monkeypatch.setattr(_place, "_MOUNTS", str(table))
    monkeypatch.setattr(os.path, "realpath", lambda path: path)
    assert is_network(path) is network
    monkeypatch.setattr(_place, "_MOUNTS", str(tmp_path / "absent"))
    assert is_network(path) is False


def test_a_new_place_on_a_network_disk_holds_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_place(str(tmp_path / "here")).storage == "sqlite"
    table = tmp_path / "mounts"
    table.write_bytes(b"server:/ / nfs4 rw 0 0\n")
    monkeypatch.setattr(_place, "_MOUNTS", str(table))
    assert make_place(str(tmp_path / "there")).storage == "files"
