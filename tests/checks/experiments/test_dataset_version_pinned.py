"""Versions of data sets by DVC, Git LFS, git, run records and lists of SHA-256, on real files and repositories."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.experiments.dataset_version_pinned import QUANTITIES, dataset_version_pinned
from pytest_mle.checks.experiments.dvc_pins import file_md5, folder_md5
from pytest_mle.checks.experiments.git_pins import LfsPointer, read_pointer
from pytest_mle.checks.experiments.sha256 import file_sha256
from pytest_mle.errors import InputError, NotMeasurableError, TrustError
from pytest_mle.inputs.project import Project
from pytest_mle.tracking import digest_of

ENVIRONMENT = {**os.environ, "DVC_NO_ANALYTICS": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
# `dvc add data/train` of DVC 3.67.1 on the files of the fixture `folder_dataset`, as it wrote them.
DVC_FILE = """\
outs:
- md5: ae86bbbde859a6721374ae411ede7e27.dir
  size: 254
  nfiles: 9
  hash: md5
  path: train
"""
# The same by DVC 2.58.2.
DVC_2_FILE = """\
outs:
- md5: ae86bbbde859a6721374ae411ede7e27.dir
  size: 254
  nfiles: 9
  path: train
"""


def run(folder, *command):
    """Run a program in a folder."""
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, env=ENVIRONMENT)
    return done.stdout.strip()


def git(folder, *arguments):
    """Run git in a folder."""
    return run(folder, "git", "-c", "user.name=A", "-c", "user.email=a@example.org", *arguments)


def commit(folder):
    """Commit everything."""
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "state")


@pytest.fixture
def project(tmp_path):
    """A repository that holds a spec."""
    git(tmp_path, "init", "-q")
    (tmp_path / "spec.yaml").write_text("mle_spec: 1\n")
    (tmp_path / ".gitignore").write_text("/data/train/\n")
    commit(tmp_path)
    return Project(tmp_path.resolve())


@pytest.fixture
def by_dvc(project, folder_dataset):
    """The data set as DVC's own output pins it, without DVC's cache."""

    def make(text=DVC_FILE):
        dataset = folder_dataset()
        (project.root / "data" / "train.dvc").write_text(text)
        (project.root / ".dvc").mkdir()
        commit(project.root)
        return dataset

    return make


def measure(values, dataset, project, *arguments, **parameters):
    """Return the numbers that are not zero."""
    numbers = values(dataset_version_pinned(dataset, project, *arguments, **parameters))
    assert numbers.keys() == QUANTITIES.keys()
    return {name: value for name, value in numbers.items() if value != 0}


def test_nothing_pins_it(project, folder_dataset, values, findings):
    """Ignored by git, without DVC or list: unversioned, and what would be compared is not zero but unknown."""
    measured = dataset_version_pinned(folder_dataset(), project)
    assert values(measured) == {
        "unversioned_datasets": 1,
        "pinned_samples": 0,
        "unpinned_files": 9,
        "hash_mismatches": None,
        "mutable_refs": None,
        "files_not_checked_out": 0,
    }
    assert len(findings(measured, "unversioned_datasets")) == 4
    assert "nothing pins" in measured.quantities["hash_mismatches"].method
    assert built_in_check("dataset_version_pinned").quantities == QUANTITIES


# DVC


@pytest.mark.parametrize("text", [DVC_FILE, DVC_2_FILE], ids=["DVC 3", "DVC 2"])
def test_folder_as_dvc_pins_it(project, by_dvc, values, text):
    """The MD5 that DVC computed is the one that is computed here; labels and tables belong to it."""
    assert measure(values, by_dvc(text), project, backends=["dvc"]) == {"pinned_samples": 4}


@pytest.mark.parametrize("damage", ["changed label", "added image", "lost label", "renamed"])
def test_folder_that_is_not_that_version(project, by_dvc, folder_dataset, values, findings, damage):
    """A label that was edited, a file more, a file less, another name: another version."""
    by_dvc()
    folder = project.root / "data" / "train"
    if damage == "changed label":
        (folder / "labels" / "2.txt").write_text("0 0.5 0.5 0.2 0.3\n")
    elif damage == "added image":
        (folder / "images" / "9.png").write_text("image")
    elif damage == "lost label":
        (folder / "labels" / "2.txt").unlink()
    else:
        (folder / "labels" / "2.txt").rename(folder / "labels" / "9.txt")
    measured = dataset_version_pinned(folder_dataset(write=False), project, backends=["dvc"])
    assert values(measured)["hash_mismatches"] == 1
    assert "data/train.dvc has ae86bbbde859a6721374ae411ede7e27.dir" in findings(measured, "hash_mismatches")[0]


def test_the_cache_names_the_files(project, by_dvc, folder_dataset, findings):
    """Where DVC's list of the folder is at hand, each file that differs is a finding."""
    by_dvc()
    folder = project.root / "data" / "train"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    listed = [{"md5": file_md5(folder / name, is_legacy=False), "relpath": name} for name in names]
    cached = (
        project.root
        / ".dvc"
        / "cache"
        / "files"
        / "md5"
        / "ae86bbbde859a6721374ae411ede7e27.dir"[:2]
        / "ae86bbbde859a6721374ae411ede7e27.dir"[2:]
    )
    cached.parent.mkdir(parents=True)
    cached.write_text(json.dumps(listed))
    (folder / "images" / "9.png").write_text("image")
    (folder / "labels" / "2.txt").write_text("")
    (folder / "labels" / "3.txt").unlink()
    measured = dataset_version_pinned(folder_dataset(write=False), project, backends=["dvc"])
    assert findings(measured, "hash_mismatches") == [
        "data/train/images/9.png: is not in the version of data/train.dvc",
        "data/train/labels/2.txt: differs from the version of data/train.dvc",
        "data/train/labels/3.txt: is not here, but in the version of data/train.dvc",
    ]
    assert findings(measured, "unversioned_datasets") == [
        "data/train/images/9.png: no backend of dvc states its content"
    ]


@pytest.mark.parametrize(
    ("text", "mutable", "more"),
    [
        ("outs:\n- path: train\n", 1, {"unversioned_datasets": 1, "unpinned_files": 9}),
        (DVC_FILE + "deps:\n- path: x\n  repo: {url: git@example.org:a.git, rev: main}\n", 1, {"pinned_samples": 4}),
        (DVC_FILE + "deps:\n- path: x\n  repo: {url: a.git, rev_lock: abc}\n", 0, {"pinned_samples": 4}),
    ],
)
def test_dvc_files_that_can_move(project, by_dvc, values, text, mutable, more):
    """A stage that never ran, and an import that follows a branch; one with a lock does not."""
    expected = {**more, **({"mutable_refs": mutable} if mutable else {})}
    assert measure(values, by_dvc(text), project, backends=["dvc"]) == expected


@pytest.mark.parametrize("state", ["uncommitted", "edited", "no repository"])
def test_a_pin_that_is_in_no_commit(project, by_dvc, folder_dataset, findings, state):
    """A `.dvc` file that anybody can rewrite without a trace is mutable."""
    by_dvc()
    path = project.root / "data" / "train.dvc"
    if state == "uncommitted":
        git(project.root, "rm", "-q", "--cached", str(path))
        git(project.root, "commit", "-qm", "without")
    elif state == "edited":
        path.write_text(DVC_FILE + "desc: edited\n")
    else:
        shutil.rmtree(project.root / ".git")
    (found,) = findings(dataset_version_pinned(folder_dataset(write=False), project, backends=["dvc"]), "mutable_refs")
    said = {"uncommitted": "is not committed", "edited": "differs from what", "no repository": "in no git repository"}
    assert said[state] in found


def test_lock_file_and_single_files(project, folder_dataset, values):
    """`dvc.lock` of a pipeline, with its working folder, and `.dvc` files of single files inside the data set."""
    dataset = folder_dataset()
    folder = project.root / "data" / "train"
    images = {path.name: file_md5(path, is_legacy=False) for path in (folder / "images").iterdir()}
    lock = {
        "schema": "2.0",
        "stages": {
            "prepare": {
                "wdir": "data",
                "cmd": "x",
                "outs": [{"path": "train/images", "hash": "md5", "md5": folder_md5(images), "nfiles": 4}],
            }
        },
    }
    (project.root / "dvc.lock").write_text(json.dumps(lock))
    label = folder / "labels" / "0.txt"
    md5 = file_md5(label, is_legacy=False)
    (folder / "labels" / "0.txt.dvc").write_text(f"outs:\n- md5: {md5}\n  hash: md5\n  path: 0.txt\n")
    git(project.root, "add", "-f", ".")
    git(project.root, "commit", "-qm", "lock")
    assert measure(values, dataset, project, backends=["dvc"]) == {"pinned_samples": 4, "unpinned_files": 4}
    label.write_text("0 0.1 0.1 0.1 0.1\n")
    (folder / "images" / "3.png").write_text("changed")
    assert measure(values, dataset, project, backends=["dvc"])["hash_mismatches"] == 2
    label.unlink()
    (folder / "images" / "3.png").write_text("image train 3")
    assert measure(values, dataset, project, backends=["dvc"])["hash_mismatches"] == 1


def test_dvcignore_leaves_files_out(project, by_dvc, folder_dataset, values):
    """Files that DVC ignores are no part of the version, and DVC's own are not either."""
    by_dvc()
    folder = project.root / "data" / "train"
    (project.root / ".dvcignore").write_text("# comment\n*.tmp\n/data/train/notes\n")
    (folder / "x.tmp").write_text("x")
    (folder / "notes").mkdir()
    (folder / "notes" / "a.txt").write_text("x")
    dataset = folder_dataset(write=False)
    assert measure(values, dataset, project, backends=["dvc"]) == {"pinned_samples": 4, "unpinned_files": 2}
    (project.root / ".dvcignore").write_text("*.bak\n")
    assert measure(values, dataset, project, backends=["dvc"])["hash_mismatches"] == 1


def test_broken_dvc_file(project, by_dvc):
    """A DVC file that is no YAML is an error with its place."""
    with pytest.raises(InputError, match=r"data/train\.dvc"):
        dataset_version_pinned(by_dvc("outs: [\n"), project)


def test_text_of_dvc_2_has_no_carriage_returns(tmp_path):
    """DVC 2 computes the MD5 of text as if it came from Unix; of binary files, and in DVC 3, nothing is changed.

    The MD5 is the one that DVC 2.58.2 wrote for this content.
    """
    (tmp_path / "text").write_bytes(b"a\r\nb\r\n")
    (tmp_path / "unix").write_bytes(b"a\nb\n")
    (tmp_path / "binary").write_bytes(b"a\r\n\0")
    (tmp_path / "empty").write_bytes(b"")
    text, unix, binary, empty = (tmp_path / name for name in ("text", "unix", "binary", "empty"))
    assert file_md5(text, is_legacy=True) == "dd8c6a395b5dd36c56d23275028f526c"
    assert file_md5(text, is_legacy=True) == file_md5(unix, is_legacy=False) != file_md5(text, is_legacy=False)
    assert file_md5(binary, is_legacy=True) == file_md5(binary, is_legacy=False)
    assert file_md5(empty, is_legacy=True) == file_md5(empty, is_legacy=False)


@pytest.mark.parametrize(
    ("entry", "mismatches"),
    [
        ("{md5: dd8c6a395b5dd36c56d23275028f526c, path: train/labels/0.txt}", 0),
        ("{md5: 59b0d7772f0561efb95518f3cb8abc60, path: train/labels/0.txt}", 1),
        ("{md5: 59b0d7772f0561efb95518f3cb8abc60, hash: md5, path: train/labels/0.txt}", 0),
        ("{md5: dd8c6a395b5dd36c56d23275028f526c, hash: md5, path: train/labels/0.txt}", 1),
    ],
)
def test_the_file_says_which_dvc_wrote_it(project, folder_dataset, values, entry, mismatches):
    """Without `hash:` it is DVC 2, whose MD5 of a text from Windows is that of the text from Unix."""
    dataset = folder_dataset()
    (dataset.root / "labels" / "0.txt").write_bytes(b"a\r\nb\r\n")
    (project.root / "data" / "label.dvc").write_text(f"outs: [{entry}]\n")
    measured = values(dataset_version_pinned(dataset, project, backends=["dvc"]))
    assert (measured["hash_mismatches"], measured["unpinned_files"]) == (mismatches, 8)


@pytest.mark.skipif(shutil.which("dvc") is None, reason="DVC is not installed")
@pytest.mark.slow
def test_against_dvc_itself(project, folder_dataset, values, findings):
    """What `dvc add` wrote is met, after a change `dvc status` and the check both say so, and `dvc checkout` mends it."""
    dataset = folder_dataset()
    folder = project.root / "data" / "train"
    (folder / "names ü.txt").write_text("größe\r\n")
    (project.root / ".gitignore").unlink()
    run(project.root, "dvc", "init", "-q")
    run(project.root, "dvc", "add", "-q", "data/train")
    commit(project.root)
    assert measure(values, dataset, project) == {"pinned_samples": 4}
    label = folder / "labels" / "1.txt"
    label.chmod(0o644)
    label.write_text("0 0.1 0.1 0.1 0.1\n")
    assert "modified" in run(project.root, "dvc", "status")
    measured = dataset_version_pinned(dataset, project)
    assert findings(measured, "hash_mismatches") == [
        "data/train/labels/1.txt: differs from the version of data/train.dvc"
    ]
    run(project.root, "dvc", "checkout", "-q", "-f")
    assert measure(values, dataset, project) == {"pinned_samples": 4}


# Git and Git LFS


def test_committed_files_are_pinned(project, folder_dataset, values):
    """Small data sets can live in git: what is committed is the version, and what differs is found."""
    dataset = folder_dataset(name="val")
    commit(project.root)
    assert measure(values, dataset, project) == {"pinned_samples": 4}
    folder = project.root / "data" / "val"
    (folder / "labels" / "0.txt").write_text("0 0.1 0.1 0.1 0.1\n")
    (folder / "labels" / "1.txt").unlink()
    (folder / "labels" / "2.txt").write_bytes(b"0 0.5 0.5 0.2 0.2\r\n")
    git(project.root, "add", "-A")
    assert measure(values, dataset, project) == {"pinned_samples": 4, "hash_mismatches": 2}
    assert measure(values, dataset, project, backends=["git_lfs"])["unversioned_datasets"] == 1
    (folder / "images" / "9.png").write_text("new")
    more = folder_dataset(name="val", write=False)
    assert measure(values, more, project)["unversioned_datasets"] == 1


def as_pointer(path):
    """Return the pointer of a file, by the specification of Git LFS."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{file_sha256(path)}\nsize {path.stat().st_size}\n"


@pytest.fixture
def by_lfs(project, folder_dataset):
    """A data set whose images are committed as pointers and checked out as images."""
    dataset = folder_dataset(name="val")
    contents = {path: path.read_bytes() for path in sorted((project.root / "data" / "val" / "images").iterdir())}
    for path in contents:
        path.write_text(as_pointer(path))
    commit(project.root)
    for path, content in contents.items():
        path.write_bytes(content)
    return dataset


def test_pointers_of_git_lfs(project, by_lfs, values, findings):
    """Pointers name the content by SHA-256 and size; labels are committed as they are."""
    assert measure(values, by_lfs, project) == {"pinned_samples": 4}
    assert measure(values, by_lfs, project, backends=["git_lfs"]) == {"pinned_samples": 4, "unpinned_files": 5}
    image = project.root / "data" / "val" / "images" / "2.png"
    image.write_text("image val X")
    measured = dataset_version_pinned(by_lfs, project)
    assert values(measured)["hash_mismatches"] == 1
    assert "data/val/images/2.png: differs from what the Git LFS pointer" in findings(measured, "hash_mismatches")[0]


def test_pointers_that_nobody_has_replaced(project, by_lfs, values):
    """A clone without `git lfs pull` holds no data: the numbers mean nothing."""
    image = project.root / "data" / "val" / "images" / "2.png"
    image.write_text(as_pointer(image))
    measured = dataset_version_pinned(by_lfs, project)
    (condition,) = measured.validity
    assert (condition.holds, "git lfs pull" in condition.detail) == (False, True)
    assert values(measured)["files_not_checked_out"] == 1


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="Git LFS is not installed")
def test_against_git_lfs_itself(project, folder_dataset, values, tmp_path_factory):
    """What Git LFS commits is met; a clone without its contents is not checked out."""
    run(project.root, "git", "lfs", "install", "--local")
    run(project.root, "git", "lfs", "track", "*.png")
    dataset = folder_dataset(name="val")
    commit(project.root)
    measured = dataset_version_pinned(dataset, project)
    assert any(pin.startswith("git_lfs: commit") and "(4 files)" in pin for pin in measured.settings["pins"])
    assert measure(values, dataset, project) == {"pinned_samples": 4}
    clone = tmp_path_factory.mktemp("clone") / "clone"
    git(project.root, "clone", "-q", "--no-local", ".", str(clone))
    for name in ("images", "labels"):
        shutil.rmtree(project.root / "data" / "val" / name)
        shutil.copytree(clone / "data" / "val" / name, project.root / "data" / "val" / name)
    assert measure(values, dataset, project) == {"pinned_samples": 4, "files_not_checked_out": 4}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12\n",
            LfsPointer("a" * 64, 12),
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\next-0-foo sha256:b\noid sha256:" + b"a" * 64 + b"\nsize 1\n",
            LfsPointer("a" * 64, 1),
        ),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 63 + b"\nsize 12\n", None),
        (b"version https://git-lfs.github.com/spec/v1\noid md5:" + b"a" * 32 + b"\nsize 12\n", None),
        (b"", None),
        (b"\xff\xd8\xff\xe0 image", None),
    ],
)
def test_form_of_a_pointer(data, expected):
    """A pointer is what the specification says, and nothing that only looks like one."""
    assert read_pointer(data) == expected


# Run records and lists


def test_hash_in_the_record_of_the_run(project, folder_dataset, log, values):
    """The run's SHA-256 over the files pins them; a version string, or the hash of other data, does not."""
    dataset = folder_dataset()
    digest = digest_of(dataset.root)
    assert measure(values, dataset, project, log(dataset_sha256=digest)) == {"pinned_samples": 4}
    for record in ({"dataset_version": "1.0"}, {"dataset_sha256": "a" * 64}, {"dataset_sha256": "1.0"}):
        assert measure(values, dataset, project, log(**record))["unversioned_datasets"] == 1
    assert measure(values, dataset, project, log(dataset_sha256=digest), backends=["dvc"])["unversioned_datasets"] == 1
    moving = log(dataset_sha256=digest, dataset_version="pedestrians@latest")
    assert measure(values, dataset, project, moving) == {"pinned_samples": 4, "mutable_refs": 1}


def test_column_of_the_table(project, folder_dataset, values, findings):
    """A SHA-256 for each image in images.csv, which is committed; labels are pinned by nothing and counted."""
    folder = folder_dataset().root
    rows = [f"images/{n}.png,{file_sha256(folder / 'images' / f'{n}.png')}" for n in range(4)]
    dataset = folder_dataset(rows=rows, columns="image,sha256")
    git(project.root, "add", "-f", "data/train/images.csv")
    git(project.root, "commit", "-qm", "table")
    only = {"backends": ["sha256_manifest"]}
    assert measure(values, dataset, project, **only) == {"pinned_samples": 4, "unpinned_files": 5}
    (folder / "images" / "1.png").write_text("other")
    measured = dataset_version_pinned(dataset, project, **only)
    assert findings(measured, "hash_mismatches") == [
        "data/train/images/1.png: has another SHA-256 than its column sha256 states"
    ]
    (folder / "images" / "1.png").write_text("image train 1")
    cut = folder_dataset(rows=[rows[0], "images/1.png,TBD", "images/2.png,", rows[3]], columns="image,sha256")
    assert measure(values, cut, project, **only) == {
        "unversioned_datasets": 1,
        "pinned_samples": 2,
        "unpinned_files": 7,
        "mutable_refs": 1,
    }


def test_list_of_sha256sum(project, folder_dataset, values):
    """A list in the folder, or one that the spec names, covers labels too; a file that it lists must be there."""
    dataset = folder_dataset()
    folder = dataset.root
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    text = "".join(f"{file_sha256(folder / name)}  {name}\n" for name in names)
    (folder / "SHA256SUMS").write_text(text)
    git(project.root, "add", "-f", "data/train/SHA256SUMS")
    git(project.root, "commit", "-qm", "list")
    only = {"backends": ["sha256_manifest"]}
    assert measure(values, dataset, project, **only) == {"pinned_samples": 4}
    (folder / "labels" / "0.txt").unlink()
    (folder / "labels" / "1.txt").write_text("")
    assert measure(values, dataset, project, **only) == {"pinned_samples": 4, "hash_mismatches": 2}
    (project.root / "train.sha256").write_text(
        "".join(f"{line.replace('  ', '  data/train/')}\n" for line in text.splitlines())
    )
    named = measure(values, dataset, project, manifest="train.sha256", **only)
    assert named == {"pinned_samples": 4, "hash_mismatches": 2, "mutable_refs": 1}
    with pytest.raises(InputError, match="no manifest absent"):
        dataset_version_pinned(dataset, project, manifest="absent")


def test_pins_do_not_lead_out_of_the_project(project, by_dvc, tmp_path_factory):
    """A DVC file that names the whole disk is no pin of this folder; a list that names other files is refused."""
    up = "../" * 30
    dataset = by_dvc(f"outs:\n- md5: {'a' * 32}.dir\n  hash: md5\n  path: {up}\n")
    assert dataset_version_pinned(dataset, project, backends=["dvc"]).settings["pins"] == []
    (dataset.root / "SHA256SUMS").write_text(f"{'a' * 64}  ../../../secret\n")
    with pytest.raises(TrustError, match="SHA256SUMS:1"):
        dataset_version_pinned(dataset, project)


def test_bad_parameters_and_empty_data(project, folder_dataset):
    """An unknown backend is a mistake in the spec; no samples are nothing to pin."""
    dataset = folder_dataset()
    with pytest.raises(ValueError, match="Did you mean 'git_lfs'"):
        dataset_version_pinned(dataset, project, backends=["git-lfs"])
    dataset._indices = dataset._indices[:0]
    with pytest.raises(NotMeasurableError, match="no sample"):
        dataset_version_pinned(dataset, project)
