//! PostgreSQL: a few connections, made when they are needed and made again when they are lost.

use std::{
    collections::HashMap,
    error::Error as _,
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream::FuturesOrdered};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{sync::Semaphore, time::timeout};
use tokio_postgres::{
    Client, Config, Statement, Transaction,
    config::Host,
    error::SqlState,
    types::{ToSql, Type},
};

use super::{
    engine::{self, Read, Work},
    tls::{Encryption, MakeTls},
    value::{Fault, Row, Value, odd, one_line},
};

/// A server's database. Every clone is the same.
#[derive(Clone)]
pub(super) struct Postgres {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    tls: MakeTls,
    place: String,
    idle: Mutex<Vec<Connected>>,
    places: Semaphore,
    outage: Mutex<Option<Outage>>,
}

/// A connection with what was prepared on it.
struct Connected {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
}

/// The server could not be reached: until when it is not tried again.
struct Outage {
    again_at: Instant,
    pause: Duration,
    message: String,
}

/// Where statements go.
pub(super) struct Session<'a> {
    client: Speaker<'a>,
    statements: &'a Mutex<HashMap<&'static str, Statement>>,
}

enum Speaker<'a> {
    Plain(&'a Client),
    Transaction(&'a Transaction<'a>),
}

impl Postgres {
    /// Reads the connection string; connects to nothing yet. The error is for people and quotes nothing of the string.
    pub(super) fn new(url: &SecretString, ca: Option<&Path>) -> Result<Self, String> {
        let (url, encryption) = Encryption::split(url.expose_secret())?;
        let mut config: Config = url.expose_secret().parse().map_err(|_| NOT_A_URL.to_owned())?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(NOT_A_URL.to_owned());
        }
        let options = config.get_options().unwrap_or_default().to_owned();
        config.ssl_mode(encryption.mode());
        config.options(format!("-c statement_timeout={} {options}", STATEMENT.as_millis()));
        config.connect_timeout(CONNECT).keepalives_idle(KEEPALIVE).tcp_user_timeout(SILENCE);
        if config.get_application_name().is_none() {
            config.application_name("kubereach");
        }
        let place = place(&config);
        let tls = MakeTls::new(encryption, ca)?;
        let shared = Shared {
            config,
            tls,
            place,
            idle: Mutex::new(Vec::new()),
            places: Semaphore::new(CONNECTIONS),
            outage: Mutex::new(None),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Server and database, without credentials.
    pub(super) fn place(&self) -> &str {
        &self.shared.place
    }

    /// Does `work` in one transaction; again when another one was in the way.
    pub(super) async fn write<W: Work>(&self, work: &W) -> Result<W::Output, Fault> {
        let mut attempt = 1;
        loop {
            match self.bounded(self.transact(work)).await {
                Err(Fault::Conflict(_)) if attempt < ATTEMPTS => attempt += 1,
                Err(Fault::Conflict(message)) => return Err(Fault::Unavailable(message)),
                result => return result,
            }
        }
    }

    /// Does work that only reads.
    pub(super) async fn look<W: Work>(&self, work: &W) -> Result<W::Output, Fault> {
        self.bounded(async {
            let connected = self.take().await?;
            let session = Session { client: Speaker::Plain(&connected.client), statements: &connected.statements };
            let output = work.run(&engine::Session::Postgres(&session)).await?;
            self.give_back(connected);
            Ok(output)
        })
        .await
    }

    /// Asks one question.
    pub(super) async fn query<T>(
        &self,
        sql: &'static str,
        parameters: &[Value],
        read: Read<T>,
    ) -> Result<Vec<T>, Fault> {
        self.bounded(async {
            let connected = self.take().await?;
            let session = Session { client: Speaker::Plain(&connected.client), statements: &connected.statements };
            let rows = session.query(sql, parameters, read).await?;
            self.give_back(connected);
            Ok(rows)
        })
        .await
    }

    /// Closes every connection that is idle, and lets no other be made.
    pub(super) fn close(&self) {
        self.shared.places.close();
        lock(&self.shared.idle).clear();
    }

    /// A connection is given back only where all went well: one that is in doubt is closed, which ends what it was at.
    async fn transact<W: Work>(&self, work: &W) -> Result<W::Output, Fault> {
        let mut connected = self.take().await?;
        let Connected { client, statements } = &mut connected;
        let transaction = client.transaction().await.map_err(|error| fault(&error))?;
        let output = {
            let session = Session { client: Speaker::Transaction(&transaction), statements };
            work.run(&engine::Session::Postgres(&session)).await?
        };
        transaction.commit().await.map_err(|error| fault(&error))?;
        self.give_back(connected);
        Ok(output)
    }

    /// Waits for one of the places, and for the server, but not for ever.
    async fn bounded<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let waiting = async {
            let _place = self.shared.places.acquire().await.map_err(|_| closed())?;
            work.await
        };
        timeout(WHOLE, waiting)
            .await
            .unwrap_or_else(|_| Err(Fault::Unavailable(format!("no answer within {} s", WHOLE.as_secs()))))
    }

    async fn take(&self) -> Result<Connected, Fault> {
        loop {
            let kept = lock(&self.shared.idle).pop();
            match kept {
                Some(connected) if connected.client.is_closed() => {}
                Some(connected) => return Ok(connected),
                None => return Box::pin(self.connect()).await,
            }
        }
    }

    fn give_back(&self, connected: Connected) {
        if !connected.client.is_closed() && !self.shared.places.is_closed() {
            lock(&self.shared.idle).push(connected);
        }
    }

    async fn connect(&self) -> Result<Connected, Fault> {
        if let Some(outage) = &*lock(&self.shared.outage)
            && Instant::now() < outage.again_at
        {
            return Err(Fault::Unavailable(outage.message.clone()));
        }
        let connecting = self.shared.config.connect(self.shared.tls.clone());
        let result = match timeout(CONNECT + CONNECT, connecting).await {
            Ok(Ok(pair)) => Ok(pair),
            Ok(Err(error)) => Err(words(&error)),
            Err(_) => Err(format!("no connection within {} s", (CONNECT + CONNECT).as_secs())),
        };
        let mut outage = lock(&self.shared.outage);
        match result {
            Ok((client, connection)) => {
                *outage = None;
                drop(tokio::spawn(async move {
                    // Whoever speaks over it is told of its end, too.
                    let _ = connection.await;
                }));
                Ok(Connected { client, statements: Mutex::default() })
            }
            Err(message) => {
                let pause = outage.as_ref().map_or(SHORTEST_PAUSE, |outage| (outage.pause * 2).min(LONGEST_PAUSE));
                *outage = Some(Outage { again_at: Instant::now() + pause, pause, message: message.clone() });
                Err(Fault::Unavailable(message))
            }
        }
    }
}

impl Session<'_> {
    /// Executes a statement for each row of parameters, without waiting for one answer before the next is sent.
    pub(super) async fn execute_many(&self, sql: &'static str, rows: &[Vec<Value>]) -> Result<Vec<u64>, Fault> {
        let Some(first) = rows.first() else { return Ok(Vec::new()) };
        let statement = self.prepare(sql, first).await?;
        let mut touched = Vec::with_capacity(rows.len());
        for piece in rows.chunks(UNDER_WAY) {
            let mut answers = FuturesOrdered::new();
            for row in piece {
                answers.push_back(self.send(&statement, row));
            }
            while let Some(answer) = answers.next().await {
                touched.push(answer.map_err(|error| fault(&error))?);
            }
        }
        Ok(touched)
    }

    /// Asks a question.
    pub(super) async fn query<T>(
        &self,
        sql: &'static str,
        parameters: &[Value],
        read: Read<T>,
    ) -> Result<Vec<T>, Fault> {
        let statement = self.prepare(sql, parameters).await?;
        let parameters = parameters.iter().map(parameter);
        let answer = match self.client {
            Speaker::Plain(client) => client.query_raw(&statement, parameters).await,
            Speaker::Transaction(transaction) => transaction.query_raw(&statement, parameters).await,
        };
        let answer = answer.map_err(|error| fault(&error))?;
        answer.map(|row| row.map_err(|error| fault(&error)).and_then(|row| read(&values(&row)?))).try_collect().await
    }

    /// Executes several statements.
    pub(super) async fn script(&self, sql: &str) -> Result<(), Fault> {
        let done = match self.client {
            Speaker::Plain(client) => client.batch_execute(sql).await,
            Speaker::Transaction(transaction) => transaction.batch_execute(sql).await,
        };
        done.map_err(|error| fault(&error))
    }

    async fn send(&self, statement: &Statement, row: &[Value]) -> Result<u64, tokio_postgres::Error> {
        let parameters = row.iter().map(parameter);
        match self.client {
            Speaker::Plain(client) => client.execute_raw(statement, parameters).await,
            Speaker::Transaction(transaction) => transaction.execute_raw(statement, parameters).await,
        }
    }

    /// Numbers travel as `bigint`; the server narrows them where a column is narrower.
    async fn prepare(&self, sql: &'static str, parameters: &[Value]) -> Result<Statement, Fault> {
        if let Some(statement) = lock(self.statements).get(sql) {
            return Ok(statement.clone());
        }
        let types: Vec<Type> = parameters
            .iter()
            .map(|parameter| match parameter {
                Value::Integer(_) => Type::INT8,
                Value::Text(_) => Type::TEXT,
                Value::Bytes(_) => Type::BYTEA,
            })
            .collect();
        let prepared = match self.client {
            Speaker::Plain(client) => client.prepare_typed(sql, &types).await,
            Speaker::Transaction(transaction) => transaction.prepare_typed(sql, &types).await,
        };
        let statement = prepared.map_err(|error| fault(&error))?;
        lock(self.statements).insert(sql, statement.clone());
        Ok(statement)
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Postgres").field(&self.shared.place).finish()
    }
}

fn parameter(value: &Value) -> &(dyn ToSql + Sync) {
    match value {
        Value::Integer(number) => number,
        Value::Text(text) => text,
        Value::Bytes(bytes) => bytes,
    }
}

fn values(row: &tokio_postgres::Row) -> Result<Row, Fault> {
    let value = |(index, column): (usize, &tokio_postgres::Column)| {
        let value = match *column.type_() {
            Type::INT2 => row.try_get::<_, Option<i16>>(index).map(|number| Value::Integer(number.map(i64::from))),
            Type::INT4 => row.try_get::<_, Option<i32>>(index).map(|number| Value::Integer(number.map(i64::from))),
            Type::INT8 => row.try_get(index).map(Value::Integer),
            Type::TEXT => row.try_get(index).map(Value::Text),
            Type::BYTEA => row.try_get(index).map(Value::Bytes),
            _ => return Err(odd(index)),
        };
        value.map_err(|_| odd(index))
    };
    row.columns().iter().enumerate().map(value).collect::<Result<_, _>>().map(Row)
}

/// What an error means for whoever called.
fn fault(error: &tokio_postgres::Error) -> Fault {
    match error.code() {
        Some(code) if [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE].contains(code) => {
            Fault::Conflict(words(error))
        }
        Some(code) if [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(code) => {
            Fault::Damaged(words(error))
        }
        _ => Fault::Unavailable(words(error)),
    }
}

/// The server's own sentence, or what became of the connection; neither holds credentials.
fn words(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return one_line(said.message());
    }
    match error.source() {
        Some(source) => one_line(&format!("{error}: {source}")),
        None => one_line(&error.to_string()),
    }
}

fn place(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        #[cfg(unix)]
        Some(Host::Unix(folder)) => folder.display().to_string(),
        None => config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default(),
    };
    let database = config.get_dbname().or(config.get_user()).unwrap_or("its default database");
    format!("the PostgreSQL database {database} at {host}")
}

fn closed() -> Fault {
    Fault::Unavailable("the history is closed".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const NOT_A_URL: &str =
    "the PostgreSQL connection string cannot be read; expected postgres://user:password@host/database?sslmode=require";
const CONNECTIONS: usize = 4;
const CONNECT: Duration = Duration::from_secs(5);
const STATEMENT: Duration = Duration::from_secs(30);
const WHOLE: Duration = Duration::from_mins(1);
const KEEPALIVE: Duration = Duration::from_secs(15);
const SILENCE: Duration = Duration::from_secs(30);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 4;
/// Statements that are sent before the first is answered.
const UNDER_WAY: usize = 256;
