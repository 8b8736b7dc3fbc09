//! `kubereach man DIR`: a manual page for the program and one for each command.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::CommandFactory;
use clap_mangen::Man;

use super::arguments::Arguments;
use crate::input::InputError;

/// The pages by file name: `kubereach.1`, `kubereach-doctor.1` …
pub fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let mut pages = vec![page(command.clone())?];
    below(&command, "kubereach", &mut pages)?;
    Ok(pages)
}

/// A page for each subcommand, then for each of its own: `kubereach-facts.1`, `kubereach-facts-pull.1`.
fn below(command: &clap::Command, parent: &str, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    for subcommand in command.get_subcommands() {
        let name = format!("{parent}-{}", subcommand.get_name());
        pages.push(page(subcommand.clone().display_name(name.clone()))?);
        below(subcommand, &name, pages)?;
    }
    Ok(())
}

/// Writes the pages into the folder, which is made when it does not exist; gives back the files written.
pub fn write(directory: &Path) -> Result<Vec<PathBuf>, InputError> {
    let cannot = |path: &Path, error: io::Error| {
        InputError::new(format!("cannot write the manual pages: {error}")).in_file(path)
    };
    let pages = pages().map_err(|error| cannot(directory, error))?;
    fs::create_dir_all(directory).map_err(|error| cannot(directory, error))?;
    let mut written = Vec::with_capacity(pages.len());
    for (name, bytes) in pages {
        let path = directory.join(name);
        fs::write(&path, bytes).map_err(|error| cannot(&path, error))?;
        written.push(path);
    }
    Ok(written)
}

fn page(command: clap::Command) -> io::Result<(String, Vec<u8>)> {
    // No date: the same source must give the same page.
    let man = Man::new(command).manual("kubereach").date("");
    let mut bytes = Vec::new();
    man.render(&mut bytes)?;
    Ok((man.get_filename(), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_for_every_command() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("a/b");
        let written = write(&directory).unwrap();
        let names: Vec<&str> = written.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names[..3], ["kubereach.1", "kubereach-doctor.1", "kubereach-verify.1"]);
        assert!(names.contains(&"kubereach-facts-pull-eks.1"), "{names:?}");
        assert!(names.contains(&"kubereach-facts-pull-aks.1"), "{names:?}");
        assert_eq!(names.len(), 19, "{names:?}");
        let doctor = fs::read_to_string(&written[1]).unwrap();
        assert!(doctor.contains("connect\\-timeout") && doctor.contains(".TH"), "{doctor}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_bad_input() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = write(&file.path().join("below")).unwrap_err();
        assert!(error.to_string().contains("cannot write the manual pages"), "{error}");
    }
}
