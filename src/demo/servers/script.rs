//! A TCP peer that follows a script: whatever a broken, foreign or hostile server may do.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Running, ServerError, reset};

/// A peer that does the same on every connection. After the last step it closes in an orderly way.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Script {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// What it does, in order.
    pub steps: Vec<Step>,
}

/// One step of a [`Script`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Reads a whole TLS record: a client's hello.
    AwaitRecord,
    /// Reads whatever comes first.
    AwaitBytes,
    /// Sends text.
    Send(String),
    /// Sends bytes given in hexadecimal.
    SendHex(String),
    /// Sends this many bytes that look like noise, the same on each connection.
    SendNoise(usize),
    /// Sends bytes given in hexadecimal one at a time, one a second, over and over.
    Drip(String),
    /// Waits this many milliseconds.
    Sleep(u64),
    /// Keeps the connection open and says nothing more.
    Stall,
    /// Resets the connection.
    Reset,
}

impl Script {
    pub(super) async fn start(&self, running: &mut Running) -> Result<(), ServerError> {
        for step in &self.steps {
            if let Step::SendHex(text) | Step::Drip(text) = step {
                from_hex(text).ok_or_else(|| ServerError::Invalid(format!("not hexadecimal: {text}")))?;
            }
        }
        let steps: Arc<[Step]> = self.steps.clone().into();
        running.accept(&self.listen, move |stream| follow(Arc::clone(&steps), stream)).await
    }
}

async fn follow(steps: Arc<[Step]>, mut stream: TcpStream) {
    for step in steps.iter() {
        let done = match step {
            Step::AwaitRecord => read_record(&mut stream).await.map(drop),
            Step::AwaitBytes => stream.read(&mut [0; 4096]).await.map(drop),
            Step::Send(text) => stream.write_all(text.as_bytes()).await,
            Step::SendHex(text) => stream.write_all(&from_hex(text).unwrap_or_default()).await,
            Step::SendNoise(length) => stream.write_all(&noise(*length)).await,
            Step::Drip(text) => drip(&mut stream, &from_hex(text).unwrap_or_default()).await,
            Step::Sleep(milliseconds) => {
                tokio::time::sleep(Duration::from_millis(*milliseconds)).await;
                Ok(())
            }
            Step::Stall => tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(drop),
            Step::Reset => return reset(stream),
        };
        if done.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}

/// Reads one TLS record (at most 16 kB and its header) and returns it whole, header included.
pub(super) async fn read_record(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut record = vec![0; RECORD_HEADER];
    stream.read_exact(&mut record).await?;
    let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
    record.resize(RECORD_HEADER + length, 0);
    stream.read_exact(&mut record[RECORD_HEADER..]).await?;
    Ok(record)
}

async fn drip(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes.iter().cycle() {
        stream.write_all(&[*byte]).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Bytes that look like noise, the same in every run.
pub(super) fn noise(length: usize) -> Vec<u8> {
    // A linear congruential generator.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
    .take(length)
    .collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    digits.chunks_exact(2).map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?)).collect()
}

const RECORD_HEADER: usize = 5;
