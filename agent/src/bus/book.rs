//! What an agent remembers of its orders, so that a message that comes twice is not an order that is carried out twice.
//!
//! An order is remembered from before it is carried out until it would be refused as expired anyway, by its id and the
//! place that its message has in the stream: the same id at the same place is the server delivering again, at another
//! place it is a replay.

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::read_lines;
use crate::seal::Seal;

/// A reply as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) seal: Seal,
    pub(super) payload: String,
}

/// What the book says of an order that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// It is new, and now in the book.
    New,
    /// It is here for the second time and has no reply yet, or one that is no longer kept.
    Again,
    /// It is here for the second time, and this was the reply.
    Done(Sealed),
    /// It was here as another message; the reply to that one, when it is kept.
    Replay(Option<Sealed>),
    /// It may have been here before the time that the book goes back to.
    Forgotten,
    /// The book holds as many as it may.
    Full,
}

/// The orders of an agent that have not expired.
pub(super) struct Book {
    entries: HashMap<String, Entry>,
    /// Those with a reply, the oldest first.
    replies: VecDeque<String>,
    reply_bytes: usize,
    /// When it last let go of what has expired.
    swept_at: Timestamp,
    /// An order that expires no later than this may have been forgotten.
    horizon: Timestamp,
    /// An order that was issued before this may have been carried out by an agent that kept no book.
    begun: Option<Timestamp>,
    file: Option<BookFile>,
}

struct Entry {
    sequence: u64,
    expires_at: Timestamp,
    reply: Option<Sealed>,
}

struct BookFile {
    path: PathBuf,
    file: File,
    bytes: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Horizon(Timestamp),
    #[serde(rename_all = "camelCase")]
    Taken {
        id: String,
        sequence: u64,
        expires_at: Timestamp,
    },
    Done {
        id: String,
        key: String,
        signature: String,
        payload: String,
    },
}

impl Book {
    /// A book that is lost with the process: it begins now.
    pub(super) fn in_memory(now: Timestamp) -> Self {
        Self { begun: Some(now), ..Self::empty() }
    }

    /// The book in this folder, which is made when it is not there.
    ///
    /// # Errors
    /// When it cannot be read or written, or another process has it open.
    pub(super) fn open(folder: &Path, now: Timestamp) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(NAME);
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
        file.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::other("another agent has it open"),
            fs::TryLockError::Error(error) => error,
        })?;
        let mut book = Self::empty();
        book.read(&file)?;
        book.file = Some(BookFile { path, file, bytes: u64::MAX });
        book.forget(now);
        book.rewrite()?;
        Ok(book)
    }

    /// Enters an order, on disk before it is said to be new.
    ///
    /// # Errors
    /// When the book cannot be written: the order must not be carried out then.
    pub(super) fn enter(
        &mut self,
        id: &str,
        sequence: u64,
        (issued_at, expires_at): (Timestamp, Timestamp),
        now: Timestamp,
    ) -> io::Result<Entered> {
        self.forget(now);
        if let Some(entry) = self.entries.get(id) {
            return Ok(match (&entry.reply, entry.sequence == sequence) {
                (Some(reply), true) => Entered::Done(reply.clone()),
                (None, true) => Entered::Again,
                (reply, false) => Entered::Replay(reply.clone()),
            });
        }
        if expires_at <= self.horizon || self.begun.is_some_and(|begun| issued_at < begun) {
            return Ok(Entered::Forgotten);
        }
        if expires_at <= now {
            // It will be refused as expired, and nothing needs to be remembered for that.
            return Ok(Entered::New);
        }
        if self.entries.len() >= MOST_ORDERS {
            return Ok(Entered::Full);
        }
        self.write(&Line::Taken { id: id.to_owned(), sequence, expires_at })?;
        self.entries.insert(id.to_owned(), Entry { sequence, expires_at, reply: None });
        Ok(Entered::New)
    }

    /// Keeps the reply to an order.
    ///
    /// # Errors
    /// When the book cannot be written; the reply is kept in memory all the same.
    pub(super) fn keep(&mut self, id: &str, reply: &Sealed) -> io::Result<()> {
        self.insert_reply(id, reply.clone());
        let Seal { key, signature } = reply.seal.clone();
        self.write(&Line::Done { id: id.to_owned(), key, signature, payload: reply.payload.clone() })?;
        if self.file.as_ref().is_some_and(|file| file.bytes > LONGEST_FILE) {
            self.rewrite()?;
        }
        Ok(())
    }

    fn empty() -> Self {
        Self {
            entries: HashMap::new(),
            replies: VecDeque::new(),
            reply_bytes: 0,
            swept_at: Timestamp::UNIX_EPOCH,
            horizon: Timestamp::UNIX_EPOCH,
            begun: None,
            file: None,
        }
    }

    fn insert_reply(&mut self, id: &str, reply: Sealed) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        self.reply_bytes += reply.payload.len();
        match entry.reply.replace(reply) {
            Some(before) => self.reply_bytes = self.reply_bytes.saturating_sub(before.payload.len()),
            None => self.replies.push_back(id.to_owned()),
        }
        while self.reply_bytes > MOST_REPLY_BYTES {
            let Some(oldest) = self.replies.pop_front() else { break };
            self.drop_reply(&oldest);
        }
    }

    fn drop_reply(&mut self, id: &str) {
        if let Some(reply) = self.entries.get_mut(id).and_then(|entry| entry.reply.take()) {
            self.reply_bytes = self.reply_bytes.saturating_sub(reply.payload.len());
        }
    }

    /// Lets go of the orders that have expired for good. An agent whose clock is set back later still refuses them.
    fn forget(&mut self, now: Timestamp) {
        // A sweep goes through the whole book, and orders may come by the thousand.
        if now.duration_since(self.swept_at).unsigned_abs() < BETWEEN_SWEEPS {
            return;
        }
        self.swept_at = now;
        let before = now.checked_sub(KEPT_AFTER_EXPIRY).unwrap_or(Timestamp::UNIX_EPOCH);
        let expired: Vec<String> =
            self.entries.iter().filter(|(_, entry)| entry.expires_at < before).map(|(id, _)| id.clone()).collect();
        if expired.is_empty() {
            return;
        }
        for id in &expired {
            self.drop_reply(id);
            if let Some(entry) = self.entries.remove(id) {
                self.horizon = self.horizon.max(entry.expires_at);
            }
        }
        self.replies.retain(|id| self.entries.contains_key(id));
    }

    /// Reads what is on disk. A last line that was cut short by a crash was never acted upon; anything else that cannot
    /// be read is an error, because a book with holes does not keep replays away.
    fn read(&mut self, file: &File) -> io::Result<()> {
        let apply = |line| match line {
            Line::Horizon(horizon) => self.horizon = self.horizon.max(horizon),
            Line::Taken { id, sequence, expires_at } => {
                self.entries.insert(id, Entry { sequence, expires_at, reply: None });
            }
            Line::Done { id, key, signature, payload } => {
                self.insert_reply(&id, Sealed { seal: Seal { key, signature }, payload });
            }
        };
        read_lines(file, LONGEST_LINE, apply).map(|_| ())
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        if let Err(error) = file.file.write_all(&text).and_then(|()| file.file.sync_data()) {
            // Half a line must not be followed by a whole one.
            let _ = self.rewrite();
            return Err(error);
        }
        file.bytes = file.bytes.saturating_add(text.len() as u64);
        Ok(())
    }

    /// Writes the book anew, without what it has let go of.
    fn rewrite(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let new = file.path.with_extension("new");
        let mut text = Vec::new();
        let mut add = |line: &Line| -> io::Result<()> {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
            Ok(())
        };
        add(&Line::Horizon(self.horizon))?;
        for (id, entry) in &self.entries {
            add(&Line::Taken { id: id.clone(), sequence: entry.sequence, expires_at: entry.expires_at })?;
        }
        for id in &self.replies {
            if let Some(Sealed { seal, payload }) = self.entries.get(id).and_then(|entry| entry.reply.clone()) {
                add(&Line::Done { id: id.clone(), key: seal.key, signature: seal.signature, payload })?;
            }
        }
        let mut written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        written.try_lock().map_err(io::Error::from)?;
        written.write_all(&text)?;
        written.sync_all()?;
        fs::rename(&new, &file.path)?;
        if let Some(folder) = file.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        // The new file is locked already; the old one is let go with its lock.
        *file = BookFile { path: file.path.clone(), file: written, bytes: text.len() as u64 };
        Ok(())
    }
}

const NAME: &str = "orders.jsonl";
const MOST_ORDERS: usize = 32_768;
const MOST_REPLY_BYTES: usize = 4 * 1024 * 1024;
const LONGEST_FILE: u64 = 16 * 1024 * 1024;
const LONGEST_LINE: u64 = 4 * 1024 * 1024;
const BETWEEN_SWEEPS: Duration = Duration::from_secs(5);
/// An order whose message is delivered once more just after it expired gets its reply, not another refusal.
const KEPT_AFTER_EXPIRY: Duration = Duration::from_mins(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn reply(text: &str) -> Sealed {
        Sealed { seal: Seal { key: "U".to_owned(), signature: "s".to_owned() }, payload: text.to_owned() }
    }

    #[test]
    fn the_same_message_is_a_redelivery_and_another_one_a_replay() {
        let mut book = Book::in_memory(at(0));
        let enter = |book: &mut Book, sequence| book.enter("a", sequence, (at(1), at(60)), at(2)).unwrap();
        assert_eq!(enter(&mut book, 7), Entered::New);
        assert_eq!(enter(&mut book, 7), Entered::Again);
        assert_eq!(enter(&mut book, 8), Entered::Replay(None));
        book.keep("a", &reply("seen")).unwrap();
        assert_eq!(enter(&mut book, 7), Entered::Done(reply("seen")));
        assert_eq!(enter(&mut book, 8), Entered::Replay(Some(reply("seen"))));
        // Without a book on disk, what was issued before this process began may have been carried out by the last one.
        assert_eq!(book.enter("b", 9, (at(-1), at(60)), at(2)).unwrap(), Entered::Forgotten);
    }

    #[test]
    fn a_book_on_disk_survives_a_crash_and_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Book::open(folder.path(), at(5));
        let mut book = open().unwrap();
        assert_eq!(book.enter("a", 1, (at(0), at(60)), at(5)).unwrap(), Entered::New);
        assert_eq!(book.enter("b", 2, (at(0), at(60)), at(5)).unwrap(), Entered::New);
        book.keep("a", &reply("seen")).unwrap();
        assert!(open().is_err(), "two agents with one book");
        drop(book);
        let path = folder.path().join(NAME);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"taken\":{\"id\":\"c\",\"seq").unwrap();
        drop(file);
        let mut book = open().unwrap();
        assert_eq!(book.enter("a", 1, (at(0), at(60)), at(6)).unwrap(), Entered::Done(reply("seen")));
        assert_eq!(book.enter("b", 2, (at(0), at(60)), at(6)).unwrap(), Entered::Again);
        assert_eq!(book.enter("c", 3, (at(0), at(60)), at(6)).unwrap(), Entered::New);
        drop(book);
        // A hole in the middle is not passed over.
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("nonsense\n{text}")).unwrap();
        assert!(open().is_err());
    }

    #[test]
    fn what_was_forgotten_stays_refused_when_the_clock_is_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = Book::open(folder.path(), at(0)).unwrap();
        assert_eq!(book.enter("a", 1, (at(0), at(60)), at(1)).unwrap(), Entered::New);
        assert_eq!(book.enter("b", 2, (at(9_000), at(9_060)), at(9_000)).unwrap(), Entered::New);
        assert!(!book.entries.contains_key("a"));
        assert_eq!(book.enter("a", 3, (at(0), at(60)), at(1)).unwrap(), Entered::Forgotten);
        drop(book);
        let mut book = Book::open(folder.path(), at(9_001)).unwrap();
        assert_eq!(book.enter("a", 3, (at(0), at(60)), at(1)).unwrap(), Entered::Forgotten);
    }

    #[test]
    fn the_book_is_bounded() {
        let mut book = Book::in_memory(at(0));
        for index in 0..MOST_ORDERS {
            assert_eq!(book.enter(&index.to_string(), 1, (at(1), at(60)), at(2)).unwrap(), Entered::New);
        }
        assert_eq!(book.enter("one more", 1, (at(1), at(60)), at(2)).unwrap(), Entered::Full);
        let large = reply(&"x".repeat(MOST_REPLY_BYTES / 2));
        for id in ["1", "2", "3"] {
            book.keep(id, &large).unwrap();
        }
        assert!(book.reply_bytes <= MOST_REPLY_BYTES);
        assert_eq!(book.enter("1", 1, (at(1), at(60)), at(2)).unwrap(), Entered::Again);
        assert_eq!(book.enter("3", 1, (at(1), at(60)), at(2)).unwrap(), Entered::Done(large));
        // Once they have expired, there is room again.
        assert_eq!(book.enter("one more", 1, (at(9_000), at(9_060)), at(9_000)).unwrap(), Entered::New);
        assert_eq!(book.entries.len(), 1);
    }
}
