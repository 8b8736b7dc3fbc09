//! Files that grow by a line of JSON at a time, and may end in half of one.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
};

use serde::de::DeserializeOwned;

/// Reads every whole line, and gives how many bytes they have. A last line that was cut short by a crash was never acted
/// upon, and is not read; a line of more than `longest` bytes counts as such.
///
/// # Errors
/// When the file cannot be read, or a whole line is not what was written there: a book with holes keeps nothing away.
pub fn read_lines<T: DeserializeOwned>(file: &File, longest: u64, mut each: impl FnMut(T)) -> io::Result<u64> {
    let mut reader = BufReader::new(file);
    let (mut line, mut number, mut whole) = (Vec::new(), 0_u64, 0_u64);
    loop {
        line.clear();
        number += 1;
        let bytes = reader.by_ref().take(longest).read_until(b'\n', &mut line)?;
        if bytes == 0 || line.last() != Some(&b'\n') {
            return Ok(whole);
        }
        whole += bytes as u64;
        each(serde_json::from_slice(&line).map_err(|error| io::Error::other(format!("line {number}: {error}")))?);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn whole_lines_are_read_and_half_a_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            let path = folder.path().join("lines");
            File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
            let mut numbers: Vec<u32> = Vec::new();
            read_lines(&File::open(&path).unwrap(), 8, |number| numbers.push(number)).map(|whole| (whole, numbers))
        };
        assert_eq!(read("").unwrap(), (0, vec![]));
        assert_eq!(read("1\n22\n3").unwrap(), (5, vec![1, 22]));
        assert_eq!(read("1\n           2\n").unwrap(), (2, vec![1]));
        assert!(read("1\n\n2\n").unwrap_err().to_string().contains("line 2"));
    }
}
