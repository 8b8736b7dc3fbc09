//! SQLite: one file, one thread that writes, a few connections that read.
//!
//! The log (WAL) is written before a commit is acknowledged, and synced with each checkpoint (`synchronous = NORMAL`):
//! nothing that was acknowledged is lost when this process dies, however it dies. When the machine itself loses power the
//! last moments may be missing; the database is whole all the same.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter, types::ValueRef};
use tokio::sync::{Semaphore, oneshot};

use super::{
    engine::{self, Read, Work},
    lock::Lock,
    value::{Fault, Row, Value},
};

/// One database file. Every clone is the same.
#[derive(Clone)]
pub(super) struct Sqlite {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    /// Errands for the thread that writes; null once it was told to end, and where nothing may be written.
    writer: Mutex<Option<Writer>>,
    readers: Mutex<Vec<Connection>>,
    reading: Semaphore,
}

struct Writer {
    errands: mpsc::Sender<Errand>,
    thread: std::thread::JoinHandle<()>,
}

type Errand = Box<dyn FnOnce(&mut Slot) + Send>;

/// The connection that writes.
#[derive(Default)]
struct Slot {
    session: Option<Session>,
    /// Which file it is, once it was opened.
    file: Option<Identity>,
    /// The last attempt found the disk full.
    was_full: bool,
}

/// Device and number of a file.
type Identity = (u64, u64);

/// A connection. The lock is never waited for: whoever has the session has it alone.
pub(super) struct Session(Mutex<Connection>);

impl Sqlite {
    /// Begins with nothing open: the file is opened by the first errand. Without the right to write it is never changed.
    pub(super) fn new(path: &Path, lock: Option<Lock>) -> Result<Self, Fault> {
        let writer = lock.map(Writer::start).transpose()?;
        let shared = Shared {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
            reading: Semaphore::new(READERS),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Does `work` in one transaction on the thread that writes.
    pub(super) async fn write<W: Work>(&self, work: W) -> Result<W::Output, Fault> {
        let (reply, answer) = oneshot::channel();
        let path = self.shared.path.clone();
        let errand: Errand = Box::new(move |slot| {
            let result = transact(slot, &path, &work);
            if let Err(Fault::Unavailable(_) | Fault::Damaged(_)) = &result {
                // What is wrong may be the connection's own: the next errand begins with a new one.
                slot.session = None;
            }
            // Nobody waits any more: the work is done all the same.
            let _ = reply.send(result);
        });
        match &*lock(&self.shared.writer) {
            Some(writer) => writer.errands.send(errand).map_err(|_| closed())?,
            None => return Err(closed()),
        }
        answer.await.map_err(|_| closed())?
    }

    /// Asks one question on a connection of its own; a writer is never in its way.
    pub(super) async fn query<T: Send + 'static>(
        &self,
        sql: &'static str,
        parameters: Vec<Value>,
        read: Read<T>,
    ) -> Result<Vec<T>, Fault> {
        self.read(move |session| session.query(sql, &parameters, read)).await
    }

    /// Does work that only reads.
    pub(super) async fn look<W: Work>(&self, work: W) -> Result<W::Output, Fault> {
        self.read(move |session| at_once(work.run(&engine::Session::Sqlite(session)))).await
    }

    /// Ends the thread that writes, after what it was given before, and closes every connection.
    pub(super) async fn close(&self) {
        let writer = lock(&self.shared.writer).take();
        self.shared.reading.close();
        let shared = Arc::clone(&self.shared);
        // A thread that panicked has nothing more to say.
        let _ = tokio::task::spawn_blocking(move || {
            lock(&shared.readers).clear();
            if let Some(Writer { errands, thread }) = writer {
                drop(errands);
                let _ = thread.join();
            }
        })
        .await;
    }

    async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Session) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let _permit = self.shared.reading.acquire().await.map_err(|_| closed())?;
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            let kept = lock(&shared.readers).pop();
            let connection = match kept {
                Some(connection) => connection,
                None => open(&shared.path, false)?,
            };
            let session = Session(Mutex::new(connection));
            let result = ask(&session);
            if matches!(&result, Ok(_) | Err(Fault::Conflict(_))) {
                lock(&shared.readers).push(session.0.into_inner().unwrap_or_else(PoisonError::into_inner));
            }
            result
        });
        task.await.map_err(|_| Fault::Unavailable("the question was given up".to_owned()))?
    }
}

impl Writer {
    /// Starts the thread, which holds the lock until it has written everything.
    fn start(lock: Lock) -> Result<Self, Fault> {
        let (errands, inbox) = mpsc::channel::<Errand>();
        let thread = std::thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || {
                let mut slot = Slot::default();
                for errand in inbox {
                    errand(&mut slot);
                }
                if let Some(session) = slot.session {
                    // The log goes into the file, so that the file alone is the whole history.
                    let _ = session.connection().execute_batch("pragma optimize; pragma wal_checkpoint(truncate)");
                    drop(session);
                }
                drop(lock);
            })
            .map_err(|error| Fault::Unavailable(format!("cannot start a thread: {error}")))?;
        Ok(Self { errands, thread })
    }
}

impl Session {
    /// Executes a statement for each row; how many rows each touched.
    pub(super) fn execute_many(&self, sql: &'static str, rows: &[Vec<Value>]) -> Result<Vec<u64>, Fault> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql).map_err(|error| fault(&error))?;
        debug_assert!(in_order(&statement), "{sql}");
        let mut touched = Vec::with_capacity(rows.len());
        for row in rows {
            let count = statement.execute(params_from_iter(row)).map_err(|error| fault(&error))?;
            touched.push(u64::try_from(count).unwrap_or(u64::MAX));
        }
        Ok(touched)
    }

    /// Asks a question.
    pub(super) fn query<T>(&self, sql: &'static str, parameters: &[Value], read: Read<T>) -> Result<Vec<T>, Fault> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql).map_err(|error| fault(&error))?;
        debug_assert!(in_order(&statement), "{sql}");
        let columns = statement.column_count();
        let mut cursor = statement.query(params_from_iter(parameters)).map_err(|error| fault(&error))?;
        let mut answers = Vec::new();
        let mut row = Row(Vec::with_capacity(columns));
        while let Some(found) = cursor.next().map_err(|error| fault(&error))? {
            row.0.clear();
            for column in 0..columns {
                row.0.push(value(found.get_ref(column).map_err(|error| fault(&error))?)?);
            }
            answers.push(read(&row)?);
        }
        Ok(answers)
    }

    /// Executes several statements.
    pub(super) fn script(&self, sql: &str) -> Result<(), Fault> {
        self.connection().execute_batch(sql).map_err(|error| fault(&error))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        lock(&self.0)
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Sqlite").field(&self.shared.path).finish()
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::ToSqlOutput::Borrowed;
        Ok(Borrowed(match self {
            Self::Integer(Some(number)) => ValueRef::Integer(*number),
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(Some(bytes)) => ValueRef::Blob(bytes),
            Self::Integer(None) | Self::Text(None) | Self::Bytes(None) => ValueRef::Null,
        }))
    }
}

fn transact<W: Work>(slot: &mut Slot, path: &Path, work: &W) -> Result<W::Output, Fault> {
    // What is written to a file that has been removed would be gone with the last connection.
    if slot.file.is_some() && identity(path) != slot.file {
        slot.session = None;
        return Err(Fault::Unavailable("the database file was removed or replaced while it was in use".to_owned()));
    }
    let session = match &mut slot.session {
        Some(session) => session,
        none => none.insert(Session(Mutex::new(open(path, true)?))),
    };
    slot.file = slot.file.or_else(|| identity(path));
    session.script("begin immediate")?;
    let result = at_once(work.run(&engine::Session::Sqlite(session))).and_then(|output| {
        session.script("commit")?;
        Ok(output)
    });
    if result.is_err() && !session.connection().is_autocommit() {
        // When even this fails, closing the connection takes everything back.
        let _ = session.script("rollback");
    }
    let is_full = matches!(&result, Err(Fault::Unavailable(message)) if message == DISK_FULL);
    if result.is_ok() && slot.was_full {
        // While the disk was full the log could not go into the file, which is much smaller: now it can.
        let _ = session.script("pragma wal_checkpoint(truncate)");
    }
    slot.was_full = is_full || slot.was_full && result.is_err();
    result
}

/// The result of work that never waits, because this database answers at once.
fn at_once<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    work.now_or_never().unwrap_or_else(|| Err(Fault::Unavailable("the work waits for something else".to_owned())))
}

/// Whether `$1`, `$2` … stand for the first, second … parameter: the database numbers names as they come.
fn in_order(statement: &rusqlite::Statement<'_>) -> bool {
    (1..=statement.parameter_count())
        .all(|index| statement.parameter_name(index).is_some_and(|name| name == format!("${index}")))
}

fn open(path: &Path, writes: bool) -> Result<Connection, Fault> {
    let flags = if writes {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
    } else {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    };
    let say = |error: rusqlite::Error| fault(&error);
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(say)?;
    connection.busy_timeout(BUSY).map_err(say)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    if writes {
        // Of another program's file not even the kind of log may change.
        let foreign: bool = connection.query_row(FOREIGN, [], |row| row.get(0)).map_err(say)?;
        if !foreign {
            keep_a_log(&connection)?;
        }
        connection.execute_batch(WRITING).map_err(say)?;
    } else {
        connection.execute_batch(READING).map_err(say)?;
    }
    Ok(connection)
}

/// Turns the write-ahead log on. Where several processes do so to a new file at once, all but one are refused without
/// being made to wait.
fn keep_a_log(connection: &Connection) -> Result<(), Fault> {
    let deadline = Instant::now() + BUSY;
    loop {
        match connection.query_row("pragma journal_mode = wal", [], |row| row.get::<_, String>(0)) {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
            Ok(_) => return Err(Fault::Unavailable("the file system cannot hold a write-ahead log".to_owned())),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(fault(&error)),
        }
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|_| (0, 0))
}

fn value(value: ValueRef<'_>) -> Result<Value, Fault> {
    Ok(match value {
        ValueRef::Null => Value::Integer(None),
        ValueRef::Integer(number) => Value::from(number),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Value::from(text),
            Err(_) => return Err(Fault::Damaged("a text is not UTF-8".to_owned())),
        },
        ValueRef::Blob(bytes) => Value::Bytes(Some(bytes.to_owned())),
        ValueRef::Real(_) => return Err(Fault::Damaged("a fraction is stored where none can be".to_owned())),
    })
}

/// What an error means for whoever called.
fn fault(error: &rusqlite::Error) -> Fault {
    let words = |text: &str| Fault::Unavailable(text.to_owned());
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Fault::Damaged("it is not an SQLite database".to_owned()),
        Some(ErrorCode::DatabaseCorrupt) => Fault::Damaged("the database is damaged".to_owned()),
        Some(ErrorCode::DiskFull) => words(DISK_FULL),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            words("another program has the database locked, and kept it locked for 10 seconds")
        }
        Some(ErrorCode::ReadOnly) => words("the file, or its folder, cannot be written to"),
        Some(ErrorCode::CannotOpen) => words("the file cannot be opened"),
        _ => Fault::Unavailable(error.to_string()),
    }
}

fn closed() -> Fault {
    Fault::Unavailable("the history is closed".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections that read.
const READERS: usize = 4;
/// Prepared statements that a connection keeps: more than there are.
const STATEMENTS: usize = 128;
const DISK_FULL: &str = "the disk is full";
const BUSY: Duration = Duration::from_secs(10);
/// 16 MB of log before it goes into the file: what is changed again and again meanwhile goes there once.
const WRITING: &str = "
    pragma synchronous = normal;
    pragma foreign_keys = on;
    pragma wal_autocheckpoint = 4000;
    pragma journal_size_limit = 67108864;
    pragma cache_size = -32768;
    pragma temp_store = memory;";
const FOREIGN: &str =
    "select count(*) > 0 and sum(name = 'kubereach_schema') = 0 from sqlite_schema where type = 'table'";
const READING: &str = "pragma query_only = on; pragma cache_size = -8192; pragma temp_store = memory;";
