"""Manifests: whatever is changed in one is noticed, and said in one line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.artifacts import MANIFEST, read_manifest, verify_files, write_folder
from genret.errors import GenretError
from genret.manifest import FORMAT_VERSIONS, Manifest, checksum_of, fingerprint_of
from tests.edits import edits


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """An artifact with two files and something in every field."""
    with write_folder(
        tmp_path / "codes",
        "codes",
        config={"method": "pq", "levels": [4, 4], "deep": {"x": 1}},
        seed=7,
        inputs={"catalog": "1" * 64},
        summary={"end_code": 3, "codes_per_level": [4, 4], "share": 0.25},
    ) as folder:
        (folder / "data.txt").write_text("0 1 2")
        (folder / "more").mkdir()
        (folder / "more" / "b.txt").write_text("3")
    return tmp_path / "codes"


def accept(folder: Path) -> Manifest:
    """Read as every reader does."""
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    return manifest


def refusal(folder: Path) -> str:
    """Return the one line that refuses an artifact."""
    with pytest.raises(GenretError) as refused:
        accept(folder)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 700
    return str(refused.value)


def outcome(folder: Path) -> Manifest | str:
    """Return what a reader gets: the manifest, or the line that refuses it."""
    try:
        return accept(folder)
    except GenretError as e:
        return str(e)


def test_every_edit_of_every_field_is_refused(artifact: Path) -> None:
    file = artifact / MANIFEST
    tried = 0
    for what, text in edits(json.loads(file.read_text())):
        file.write_text(text)
        found = outcome(artifact)
        assert isinstance(found, str), what
        assert "\n" not in found, what
        tried += 1
    assert tried > 700


def test_every_flipped_byte_is_refused_or_changes_nothing(artifact: Path) -> None:
    file = artifact / MANIFEST
    before, raw = accept(artifact), file.read_bytes()
    for position in range(len(raw)):
        for mask in (1, 32, 255):
            changed = bytearray(raw)
            changed[position] ^= mask
            file.write_bytes(changed)
            found = outcome(artifact)
            assert found == before or (isinstance(found, str) and "\n" not in found)


@settings(max_examples=200)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "ignore")))
def test_any_bytes_are_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / MANIFEST).write_bytes(raw)
    refusal(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "found a list of 0, expected an object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"kind": ' + "9" * 10_000 + "}", "thousands of digits"),
        ('{"seed": NaN}', "found NaN"),
        ('{"seed": 1e999}', "too large"),
        ('{"kind": "codes", "kind": "codes"}', "'kind' occurs twice"),
        ('{"kind": "cake", "format_version": 1}', "unknown kind of artifact 'cake'"),
        ('{"kind": ["codes"]}', "unknown kind of artifact a list of 1"),
        ('{"kind": "codes", "format_version": 2}', "genret_version is missing"),
    ],
)
def test_hostile_texts_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    assert message in refusal(tmp_path)


def edit(folder: Path, **changes: Any) -> None:
    """Change entries of a manifest as somebody would who knows its checksum."""
    file = folder / MANIFEST
    fields = json.loads(file.read_text()) | changes
    fields["checksum"] = checksum_of(fields)
    file.write_text(json.dumps(fields))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 99}, "newer than this release"),
        ({"format_version": 1}, "older than this release .* `genret tokenize`"),
        ({"format_version": 0}, "format_version: found 0"),
        ({"format_version": -1}, "format_version: found -1"),
        ({"format_version": True}, "format_version: found True"),
        ({"format_version": "2"}, "format_version: found '2'"),
        ({"genret_version": 3}, "genret_version: found 3, expected text"),
        ({"seed": 1.5}, "seed: found 1.5"),
        ({"seed": True}, "seed: found True"),
        ({"config": []}, "config: found a list of 0"),
        ({"inputs": {"model": "0" * 64}}, "inputs: found 'model'"),
        ({"inputs": {"codes": "0" * 64}}, "inputs: found 'codes'"),
        ({"inputs": {"catalog": "0"}}, "inputs.catalog: found '0', expected a SHA-256"),
        ({"files": {}}, "fingerprint: found .* that of its files"),
        ({"files": {"../x": {"bytes": 1, "sha256": "0" * 64}}}, "files: found '../x'"),
        ({"files": {"a": {"bytes": -1, "sha256": "0" * 64}}}, "files.a.bytes: found -1"),
        ({"files": {"a": {"bytes": 1}}}, "expected bytes and sha256"),
        ({"files": {"a": 1}}, "expected bytes and sha256"),
        ({"files": {"a" * 5000: {"bytes": 1, "sha256": "0" * 64}}}, "names of files"),
        ({"fingerprint": "0" * 64}, "fingerprint: found"),
        ({"extra": 1}, "unknown field 'extra'"),
    ],
)
def test_fields_are_checked_even_with_the_right_checksum(
    artifact: Path, changes: dict[str, Any], message: str
) -> None:
    edit(artifact, **changes)
    with pytest.raises(GenretError, match=message):
        accept(artifact)


def test_a_summary_that_was_edited_is_refused(artifact: Path) -> None:
    file = artifact / MANIFEST
    fields = json.loads(file.read_text())
    fields["summary"]["end_code"] = 2
    file.write_text(json.dumps(fields))
    assert "do not have its checksum" in refusal(artifact)


def test_a_file_that_is_not_listed_is_refused(artifact: Path) -> None:
    (artifact / ".DS_Store").write_text("")
    accept(artifact)
    (artifact / "more" / "c.txt").write_text("")
    assert "c.txt: not in the manifest" in refusal(artifact)


def test_an_entry_taken_out_together_with_its_fingerprint_is_refused(artifact: Path) -> None:
    """Whoever forges both hashes still cannot hide a file that lies there."""
    fields = json.loads((artifact / MANIFEST).read_text())
    files = {name: entry for name, entry in fields["files"].items() if name != "data.txt"}
    version = FORMAT_VERSIONS["codes"]
    edit(artifact, files=files, fingerprint=fingerprint_of("codes", version, files))
    assert "data.txt: not in the manifest" in refusal(artifact)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["", MANIFEST, "data.txt", "more"])
def test_what_may_not_be_read_is_one_line(artifact: Path, name: str) -> None:
    (artifact / name).chmod(0)
    try:
        assert "cannot be read: Permission denied" in refusal(artifact)
    finally:
        (artifact / name).chmod(0o755)


@pytest.mark.parametrize("name", [MANIFEST, "data.txt", "more/b.txt"])
def test_a_failing_disk_is_one_line(
    artifact: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_ = Path.open

    def fail(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self == artifact / name:
            raise PermissionError(13, "Permission denied", str(self))
        return open_(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", fail)
    assert "Permission denied" in refusal(artifact)
