//! Documents into a facts folder: all of them or none, and nothing that is not ours is touched.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Component, Path, PathBuf},
};

use serde::Serialize;
use serde_json::Value;

use super::manifest::Manifest;
use crate::input::{InputError, InputErrors, MEBIBYTE, io_text, read_bytes};

/// What a pull gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Pulled {
    /// The provider's documents by their path in the folder: `ec2/describe-vpcs.json`.
    pub documents: BTreeMap<String, Value>,
    /// When, of what, and what could not be read.
    pub manifest: Manifest,
}

/// What a write did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Files that are new or whose content changed, the manifest included.
    pub changed: usize,
    /// Files that were there as they are.
    pub unchanged: usize,
    /// Files of an earlier pull that are gone.
    pub removed: usize,
}

/// Writes the documents and the manifest.
///
/// The folder is made if it is not there. One that holds something, but no manifest of ours, or that of another
/// cluster, is refused. Every file is written beside its place first and then moved there; when one cannot be, those
/// already moved go back. Files that the last manifest lists and that are no longer part of the facts are removed;
/// any other file stays. When nothing else has changed, the time of the manifest stays, too. Where the authorized ranges
/// of an AKS cluster have changed, the body of before is kept as `aks/earlier-show.json`.
///
/// A pull that read nothing at all replaces no earlier facts, and nothing is read, written or removed through a
/// symbolic link below the folder: both are errors, and the folder stays as it is.
pub fn write(pulled: &Pulled, folder: &Path) -> Result<Written, InputErrors> {
    let before = check_folder(pulled, folder)?;
    if pulled.documents.is_empty() && before.as_ref().is_some_and(|before| !before.files.is_empty()) {
        return Err(InputError::new("nothing could be read, so the facts of the earlier pull stay as they are")
            .in_file(folder)
            .help("the credentials need the actions of the IAM policy; to start afresh, give --out a new folder")
            .into());
    }
    let mut documents: BTreeMap<&str, Cow<'_, Value>> =
        pulled.documents.iter().map(|(path, document)| (path.as_str(), Cow::Borrowed(document))).collect();
    for kept in &KEPT {
        if let (Some(document), Some(before)) = (pulled.documents.get(kept.file), &before)
            && let Some(earlier) = kept.earlier(folder, before, document)?
        {
            documents.insert(kept.earlier, Cow::Owned(earlier));
        }
    }
    let mut manifest = pulled.manifest.clone();
    manifest.files = documents.keys().copied().map(str::to_owned).collect();
    let mut contents: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    for (path, document) in &documents {
        let path = relative(path).ok_or_else(|| InputError::new(format!("{path:?} is no path in a facts folder")))?;
        contents.insert(path, text(document)?);
    }
    for path in contents.keys() {
        refuse_links(folder, path)?;
    }
    let present = |path: &Path| fs::read(folder.join(path)).ok();
    let same_documents = contents.iter().all(|(path, content)| present(path).as_ref() == Some(content));
    if let Some(before) = &before
        && same_documents
        && before.same_but_for_time(&manifest)
        && std::env::var_os("SOURCE_DATE_EPOCH").is_none()
    {
        manifest.created_at = before.created_at.or(manifest.created_at);
    }
    let manifest_text = text(&manifest)?;
    let listed = before.iter().flat_map(|before| &before.files).filter_map(|path| relative(path));
    let gone: BTreeSet<PathBuf> =
        listed.filter(|path| !contents.contains_key(path) && folder.join(path).is_file()).collect();
    contents.insert(PathBuf::from(Manifest::FILE), manifest_text);
    let all = contents.len();
    contents.retain(|path, content| present(path).as_ref() != Some(content));
    let written = Written { changed: contents.len(), unchanged: all - contents.len(), removed: gone.len() };
    if !contents.is_empty() || !gone.is_empty() {
        replace(folder, &contents, &gone).map_err(|(path, error)| {
            InputError::new(format!("the facts cannot be written, the folder is as before: {}", io_text(&error)))
                .in_file(path)
        })?;
    }
    Ok(written)
}

/// A document whose body of before a change is kept beside it, because the change itself tells something.
struct Kept {
    file: &'static str,
    /// Where the earlier body goes.
    earlier: &'static str,
    /// The list that counts, in either of the provider's shapes.
    lists: [&'static str; 2],
}

impl Kept {
    /// The body to keep: what the folder holds, where its list differs from the one that was pulled; else what was kept
    /// before.
    fn earlier(&self, folder: &Path, before: &Manifest, pulled: &Value) -> Result<Option<Value>, InputError> {
        let held = |path: &str| -> Result<Option<Value>, InputError> {
            refuse_links(folder, Path::new(path))?;
            // What a pull did not write is the user's own.
            let file = folder.join(path);
            if !before.files.iter().any(|known| known == path) || !file.is_file() {
                return Ok(None);
            }
            let bytes = read_bytes(&file, "facts file", LARGEST_KEPT)?;
            Ok(serde_json::from_slice(&bytes).ok())
        };
        let list = |document: &Value| -> BTreeSet<String> {
            let found = self.lists.iter().find_map(|place| document.pointer(place)?.as_array());
            found.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        match held(self.file)? {
            Some(present) if list(&present) != list(pulled) => Ok(Some(present)),
            _ => held(self.earlier),
        }
    }
}

/// Refuses a folder that is not ours to write into; nothing is changed. Worth asking before anything is pulled.
pub fn check(folder: &Path) -> Result<(), InputErrors> {
    earlier_manifest(folder).map(drop)
}

/// A document as the provider's command line prints it: four spaces, one final newline.
pub fn text(document: &impl Serialize) -> Result<Vec<u8>, InputErrors> {
    let mut bytes = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, indent);
    document
        .serialize(&mut serializer)
        .map_err(|error| InputError::new(format!("a document cannot be written as JSON: {error}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Whether an id may be part of a file's name: letters, digits, hyphens and underscores, at most 128.
#[cfg(feature = "aws")]
pub(super) fn file_name_part(id: &&str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    (1..=LONGEST_PART).contains(&id.len()) && id.chars().all(allowed)
}

/// The manifest of an earlier pull; an error when the folder is not ours to write into.
fn earlier_manifest(folder: &Path) -> Result<Option<Manifest>, InputErrors> {
    match fs::metadata(folder) {
        Ok(metadata) if !metadata.is_dir() => {
            return Err(InputError::new("a folder for the facts was expected, but this is a file")
                .in_file(folder)
                .into());
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(InputError::new(format!("cannot read the facts folder: {}", io_text(&error)))
                .in_file(folder)
                .into());
        }
    }
    for path in [Manifest::FILE, "ec2", "eks", "aks", "network"] {
        refuse_links(folder, Path::new(path))?;
    }
    let file = folder.join(Manifest::FILE);
    if !file.exists() {
        let mut entries = fs::read_dir(folder).map_err(|error| {
            InputError::new(format!("cannot read the facts folder: {}", io_text(&error))).in_file(folder)
        })?;
        if entries.next().is_none() {
            return Ok(None);
        }
        return Err(InputError::new("the folder is not empty, and no pull made it: it has no manifest.json")
            .in_file(folder)
            .help("give --out a new or an empty folder")
            .into());
    }
    let bytes = read_bytes(&file, "manifest", LARGEST_MANIFEST)?;
    let not_ours = || {
        InputError::new("this is not the manifest of a facts folder, so nothing is written there")
            .in_file(&file)
            .help("give --out a new or an empty folder")
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| not_ours())?;
    // Other programs have files of this name.
    if value.get("createdAt").is_none() {
        return Err(not_ours().into());
    }
    let manifest: Manifest = serde_json::from_value(value).map_err(|_| not_ours())?;
    for path in manifest.files.iter().filter_map(|path| relative(path)) {
        refuse_links(folder, &path)?;
    }
    Ok(Some(manifest))
}

/// An error when a part of the path below the folder is a symbolic link: what it leads to is not ours. The folder
/// itself may be one, because the user named it.
fn refuse_links(folder: &Path, path: &Path) -> Result<(), InputError> {
    let mut place = folder.to_owned();
    for part in path.components() {
        place.push(part);
        if fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_symlink()) {
            return Err(InputError::new("this is a symbolic link, and facts are never written through one")
                .in_file(place)
                .help("remove the link, or give --out a new or an empty folder"));
        }
    }
    Ok(())
}

/// The same, and it is this cluster's folder.
fn check_folder(pulled: &Pulled, folder: &Path) -> Result<Option<Manifest>, InputErrors> {
    let Some(manifest) = earlier_manifest(folder)? else { return Ok(None) };
    let differs = |before: &Option<String>, now: &Option<String>| before.is_some() && now.is_some() && before != now;
    let now = &pulled.manifest;
    if differs(&manifest.cluster, &now.cluster)
        || differs(&manifest.region, &now.region)
        || differs(&manifest.account, &now.account)
        || differs(&manifest.provider, &now.provider)
    {
        let cluster = manifest.cluster.as_deref().unwrap_or("another cluster");
        let region = manifest.region.as_deref().unwrap_or("another region");
        let message = format!("the folder holds the facts of another cluster: {cluster:?} in {region:?}");
        return Err(InputError::new(message)
            .in_file(folder.join(Manifest::FILE))
            .help("give --out a folder of its own")
            .into());
    }
    Ok(Some(manifest))
}

/// A path of the form `file.json` or `folder/file.json`, so that nothing outside the folder is ever touched.
fn relative(path: &str) -> Option<PathBuf> {
    let parts: Vec<Component<'_>> = Path::new(path).components().collect();
    let normal = parts.iter().all(|part| matches!(part, Component::Normal(_)));
    let json = Path::new(path).extension().is_some_and(|extension| extension == "json");
    let own = path != Manifest::FILE;
    (normal && json && own && (1..=2).contains(&parts.len())).then(|| parts.iter().collect())
}

/// Moves new files to their places and old ones away, all or nothing.
fn replace(
    folder: &Path,
    contents: &BTreeMap<PathBuf, Vec<u8>>,
    gone: &BTreeSet<PathBuf>,
) -> Result<(), (PathBuf, io::Error)> {
    let existed = folder.exists();
    let stage = folder.join(format!(".pull-{}", std::process::id()));
    let result = stage_and_move(folder, &stage, contents, gone);
    // What is left in the stage is of no use; a rest that cannot be removed does no harm.
    let _ = fs::remove_dir_all(&stage);
    if result.is_err() && !existed {
        remove_empty(folder, contents.keys());
    }
    result
}

fn stage_and_move(
    folder: &Path,
    stage: &Path,
    contents: &BTreeMap<PathBuf, Vec<u8>>,
    gone: &BTreeSet<PathBuf>,
) -> Result<(), (PathBuf, io::Error)> {
    let (new, old) = (stage.join("new"), stage.join("old"));
    fs::create_dir_all(folder).map_err(|error| (folder.to_owned(), error))?;
    // What a killed process of the same number left; a link is removed, never followed.
    match fs::symlink_metadata(stage) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(stage),
        Ok(_) => fs::remove_file(stage),
        Err(_) => Ok(()),
    }
    .and_then(|()| fs::create_dir(stage))
    .map_err(|error| (stage.to_owned(), error))?;
    for (path, content) in contents {
        for parent in [&new, &old, folder].map(|root| root.join(path)).iter().filter_map(|path| path.parent()) {
            fs::create_dir_all(parent).map_err(|error| (parent.to_owned(), error))?;
        }
        let staged = new.join(path);
        let target = folder.join(path);
        if target.is_dir() {
            return Err((target, io::ErrorKind::IsADirectory.into()));
        }
        write_synced(&staged, content).map_err(|error| (target, error))?;
    }
    let mut moved: Vec<(PathBuf, PathBuf)> = Vec::new();
    let outcome = contents.keys().chain(gone).filter(|path| path.as_path() != Path::new(Manifest::FILE));
    // The manifest last: it stands for a whole folder.
    let manifest = contents.keys().filter(|path| path.as_path() == Path::new(Manifest::FILE));
    for path in outcome.chain(manifest) {
        let target = folder.join(path);
        let moves = [
            (target.clone(), old.join(path), fs::symlink_metadata(&target).is_ok()),
            (new.join(path), target.clone(), contents.contains_key(path)),
        ];
        for (from, to, needed) in moves {
            if !needed {
                continue;
            }
            if let Some(parent) = to.parent()
                && let Err(error) = fs::create_dir_all(parent)
            {
                undo(&moved);
                return Err((target, error));
            }
            if let Err(error) = fs::rename(&from, &to) {
                undo(&moved);
                return Err((target, error));
            }
            moved.push((from, to));
        }
    }
    Ok(())
}

/// Moves everything back, the last first.
fn undo(moved: &[(PathBuf, PathBuf)]) {
    for (from, to) in moved.iter().rev() {
        // Nothing better can be done when this fails, too.
        let _ = fs::rename(to, from);
    }
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    io::Write::write_all(&mut file, content)?;
    file.sync_all()
}

/// Removes the folders that a failed first write made; those that hold something stay.
fn remove_empty<'a>(folder: &Path, paths: impl Iterator<Item = &'a PathBuf>) {
    let parents: BTreeSet<PathBuf> = paths.filter_map(|path| folder.join(path).parent().map(Path::to_owned)).collect();
    for parent in parents.iter().rev() {
        let _ = fs::remove_dir(parent);
    }
    let _ = fs::remove_dir(folder);
}

const KEPT: [Kept; 1] = [Kept {
    file: "aks/show.json",
    earlier: "aks/earlier-show.json",
    lists: ["/properties/apiServerAccessProfile/authorizedIPRanges", "/apiServerAccessProfile/authorizedIpRanges"],
}];
const LARGEST_KEPT: u64 = 16 * MEBIBYTE;
const LARGEST_MANIFEST: u64 = 16 * MEBIBYTE;
#[cfg(feature = "aws")]
const LONGEST_PART: usize = 128;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_there_and_twice_is_the_same() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("facts/prod");
        let mut pulled = pulled(&["eks/describe-cluster.json", "ec2/describe-vpcs.json"], 1);
        assert_eq!(write(&pulled, &folder).unwrap(), Written { changed: 3, unchanged: 0, removed: 0 });
        let first = snapshot(&folder);
        assert_eq!(
            first.keys().collect::<Vec<_>>(),
            ["ec2/describe-vpcs.json", "eks/describe-cluster.json", "manifest.json"]
        );
        assert!(first["ec2/describe-vpcs.json"].starts_with("{\n    \"at\": 1,\n"));
        pulled.manifest.created_at = jiff::Timestamp::from_second(9).ok();
        assert_eq!(write(&pulled, &folder).unwrap(), Written { changed: 0, unchanged: 3, removed: 0 });
        assert_eq!(snapshot(&folder), first);
        pulled.documents.insert("ec2/describe-vpcs.json".to_owned(), json!({"Vpcs": []}));
        assert_eq!(write(&pulled, &folder).unwrap(), Written { changed: 2, unchanged: 1, removed: 0 });
        assert!(snapshot(&folder)["manifest.json"].contains("1970-01-01T00:00:09Z"));
    }

    #[test]
    fn the_body_of_before_is_kept_where_the_authorized_ranges_have_changed() {
        let home = tempfile::tempdir().unwrap();
        let pull = |ranges: Value, power: &str| {
            let mut pulled = pulled(&["network/route-tables.json"], 1);
            let body = json!({"properties": {
                "powerState": {"code": power}, "apiServerAccessProfile": {"authorizedIPRanges": ranges}}});
            pulled.documents.insert("aks/show.json".to_owned(), body);
            write(&pulled, home.path()).unwrap()
        };
        let earlier = || -> Option<Value> {
            let text = fs::read(home.path().join("aks/earlier-show.json")).ok()?;
            Some(serde_json::from_slice::<Value>(&text).unwrap()["properties"].clone())
        };
        let ranges = |value: Option<Value>| value.unwrap()["apiServerAccessProfile"]["authorizedIPRanges"].clone();
        pull(json!(["52.1.1.1/32", "52.2.2.2/32"]), "Running");
        pull(json!(["52.2.2.2/32", "52.1.1.1/32"]), "Stopped");
        assert_eq!(earlier(), None, "another order is no change");
        pull(json!(["52.3.3.3/32"]), "Running");
        assert_eq!(ranges(earlier()), json!(["52.2.2.2/32", "52.1.1.1/32"]));
        let manifest = snapshot(home.path())["manifest.json"].clone();
        assert!(manifest.contains("aks/earlier-show.json"), "{manifest}");
        // It stays until the list changes once more.
        assert_eq!(pull(json!(["52.3.3.3/32"]), "Stopped").removed, 0);
        assert_eq!(ranges(earlier()), json!(["52.2.2.2/32", "52.1.1.1/32"]));
        pull(Value::Null, "Running");
        assert_eq!(ranges(earlier()), json!(["52.3.3.3/32"]));
        assert_eq!(pull(json!([]), "Running").removed, 0, "null and an empty list are the same");
        assert_eq!(ranges(earlier()), json!(["52.3.3.3/32"]));
    }

    #[test]
    fn files_of_the_last_pull_go_and_those_of_the_user_stay() {
        let home = tempfile::tempdir().unwrap();
        write(&pulled(&["ec2/describe-vpcs.json", "ec2/search-transit-gateway-routes-tgw-rtb-1.json"], 1), home.path())
            .unwrap();
        fs::write(home.path().join("ec2/notes.json"), "mine").unwrap();
        fs::write(home.path().join("README"), "mine").unwrap();
        let written = write(&pulled(&["ec2/describe-vpcs.json"], 2), home.path()).unwrap();
        assert_eq!(written.removed, 1);
        let names: Vec<String> = snapshot(home.path()).into_keys().collect();
        assert_eq!(names, ["README", "ec2/describe-vpcs.json", "ec2/notes.json", "manifest.json"]);
    }

    #[test]
    fn a_manifest_cannot_make_us_remove_what_is_outside() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("facts");
        fs::create_dir(&folder).unwrap();
        fs::write(home.path().join("precious.json"), "x").unwrap();
        let outside = home.path().join("precious.json");
        let files = json!(["../precious.json", outside, "a/b/c.json", "manifest.json"]);
        let hostile = json!({"createdAt": "2026-03-01T12:00:00Z", "files": files});
        fs::write(folder.join("manifest.json"), hostile.to_string()).unwrap();
        write(&pulled(&["ec2/describe-vpcs.json"], 1), &folder).unwrap();
        assert!(home.path().join("precious.json").exists());
        for path in ["../x.json", "/x.json", "a/b/c.json", "x.txt", "", "manifest.json"] {
            assert_eq!(relative(path), None, "{path}");
        }
    }

    #[test]
    fn folders_that_are_not_ours_are_refused() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("thesis.tex"), "x").unwrap();
        let pulled = pulled(&["ec2/describe-vpcs.json"], 1);
        let refused = |expected: &str| {
            let before = snapshot(home.path());
            let error = write(&pulled, home.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(snapshot(home.path()), before);
        };
        refused("no manifest.json");
        for (text, expected) in [
            ("not JSON", "not the manifest"),
            ("[]", "not the manifest"),
            (r#"{"name": "an app", "start_url": "/"}"#, "not the manifest"),
            (
                r#"{"createdAt": "2026-03-01T12:00:00Z", "cluster": "other", "region": "eu-west-1"}"#,
                "another cluster: \"other\"",
            ),
            (
                r#"{"createdAt": "2026-03-01T12:00:00Z", "cluster": "prod", "region": "us-east-1"}"#,
                "another cluster: \"prod\" in \"us-east-1\"",
            ),
        ] {
            fs::write(home.path().join("manifest.json"), text).unwrap();
            refused(expected);
        }
        let file = home.path().join("thesis.tex");
        assert!(write(&pulled, &file).unwrap_err().to_string().contains("this is a file"));
    }

    #[cfg(unix)]
    #[test]
    fn links_below_the_folder_are_refused_and_never_followed() {
        use std::os::unix::fs::symlink;

        let manifest = json!({"createdAt": "2026-03-01T12:00:00Z", "files": ["ec2/precious.json"]}).to_string();
        let linked: [(&str, &str); 4] = [
            ("ec2", "out"),
            ("ec2/describe-vpcs.json", "out/precious.json"),
            ("ec2/precious.json", "out/precious.json"),
            ("manifest.json", "out/manifest.json"),
        ];
        for (link, target) in linked {
            let home = tempfile::tempdir().unwrap();
            let (folder, out) = (home.path().join("facts"), home.path().join("out"));
            fs::create_dir_all(&out).unwrap();
            fs::create_dir_all(folder.join(link).parent().unwrap()).unwrap();
            fs::write(out.join("precious.json"), "x").unwrap();
            fs::write(out.join("manifest.json"), &manifest).unwrap();
            if link != "manifest.json" {
                fs::write(folder.join("manifest.json"), &manifest).unwrap();
            }
            symlink(home.path().join(target), folder.join(link)).unwrap();
            let before = snapshot(&out);
            let error = write(&pulled(&["ec2/describe-vpcs.json"], 1), &folder).unwrap_err().to_string();
            assert!(error.contains("symbolic link") && error.contains(link), "{error}");
            assert_eq!(snapshot(&out), before, "{link}");
            // What no document says beforehand is told before anything is pulled.
            assert_eq!(check(&folder).is_err(), link != "ec2/describe-vpcs.json", "{link}");
        }
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("real")).unwrap();
        symlink(home.path().join("real"), home.path().join("named")).unwrap();
        write(&pulled(&["ec2/describe-vpcs.json"], 1), &home.path().join("named")).unwrap();
        assert!(home.path().join("real/ec2/describe-vpcs.json").is_file());
        let stage = home.path().join(format!("real/.pull-{}", std::process::id()));
        fs::create_dir(home.path().join("elsewhere")).unwrap();
        symlink(home.path().join("elsewhere"), stage).unwrap();
        write(&pulled(&["ec2/describe-subnets.json"], 2), &home.path().join("named")).unwrap();
        assert!(snapshot(&home.path().join("elsewhere")).is_empty());
        assert!(home.path().join("real/ec2/describe-subnets.json").is_file());
    }

    #[test]
    fn a_pull_that_read_nothing_replaces_nothing() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("facts");
        // Who may read nothing is told so, where there is nothing to lose.
        write(&pulled(&[], 1), &folder).unwrap();
        write(&pulled(&["ec2/describe-vpcs.json"], 1), &folder).unwrap();
        let before = snapshot(&folder);
        let error = write(&pulled(&[], 2), &folder).unwrap_err().to_string();
        assert!(error.contains("nothing could be read"), "{error}");
        assert_eq!(snapshot(&folder), before);
    }

    #[test]
    fn a_write_that_fails_leaves_the_folder_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        write(&pulled(&["ec2/describe-vpcs.json", "ec2/old.json"], 1), home.path()).unwrap();
        // A folder stands where a file is to go.
        fs::create_dir_all(home.path().join("eks/describe-cluster.json")).unwrap();
        let before = snapshot(home.path());
        let next = pulled(&["ec2/describe-vpcs.json", "eks/describe-cluster.json"], 2);
        let error = write(&next, home.path()).unwrap_err().to_string();
        assert!(error.contains("the folder is as before") && error.contains("describe-cluster.json"), "{error}");
        assert_eq!(snapshot(home.path()), before);
    }

    #[test]
    fn moves_are_undone() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        fs::write(path("a"), "new").unwrap();
        fs::write(path("b"), "old").unwrap();
        fs::rename(path("b"), path("c")).unwrap();
        fs::rename(path("a"), path("b")).unwrap();
        undo(&[(path("b"), path("c")), (path("a"), path("b"))]);
        assert_eq!(fs::read_to_string(path("a")).unwrap(), "new");
        assert_eq!(fs::read_to_string(path("b")).unwrap(), "old");
    }

    fn pulled(paths: &[&str], second: i64) -> Pulled {
        let documents =
            paths.iter().map(|path| ((*path).to_owned(), json!({"of": path, "at": second.min(1)}))).collect();
        let manifest = Manifest {
            created_at: jiff::Timestamp::from_second(second).ok(),
            cluster: Some("prod".to_owned()),
            region: Some("eu-west-1".to_owned()),
            ..Manifest::default()
        };
        Pulled { documents, manifest }
    }

    /// Every file below the folder and its content.
    fn snapshot(folder: &Path) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                    files.insert(name, fs::read_to_string(&path).unwrap());
                }
            }
        }
        files
    }
}
