//! A conversation over a pipe: one hello, then an order a line in, a reply a line out, many at once.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use kubereach_probes::Run;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout},
};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    sync::{Semaphore, mpsc, oneshot, watch},
    task::JoinSet,
};

use crate::{
    order::{self, Hello, MAXIMUM_ORDER_BYTES, Refusal, Reply},
    worker::Worker,
};

/// Speaks with whoever holds the other ends of this process's stdin and stdout, until one of them ends.
///
/// # Errors
/// When stdin or stdout breaks.
pub async fn serve(worker: Arc<Worker>) -> io::Result<()> {
    converse(worker, tokio::io::stdin(), tokio::io::stdout(), reader_gone(io::stdout().as_fd().try_clone_to_owned()?))
        .await
}

/// Speaks over `input` and `output`. When the input ends, what is under way is finished; when the output does, or `gone`
/// completes, everything ends at once.
///
/// # Errors
/// When the input breaks, or the output does before the hello is out.
pub async fn converse<R, W>(
    worker: Arc<Worker>,
    input: R,
    mut output: W,
    gone: impl Future<Output = ()>,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    write_line(&mut output, &order::write(&Hello::ours())).await?;
    let (replies, queue) = mpsc::channel::<Reply>(16);
    let mut writing = tokio::spawn(write_all(output, queue));
    let (stop, stopped) = watch::channel(false);
    let run = Run { stop: stopped, events: None };
    let limits = *worker.limits();
    // As many as the worker takes: more are left in the pipe.
    let room = Arc::new(Semaphore::new(limits.concurrency.max(1).saturating_add(limits.waiting).min(MAXIMUM_AT_HAND)));
    let mut lines = Lines {
        input: BufReader::new(input),
        line: Vec::new(),
        length: 0,
        maximum: limits.order_bytes.min(MAXIMUM_ORDER_BYTES),
    };
    let mut tasks = JoinSet::new();
    let mut gone = std::pin::pin!(gone);
    let talking = async {
        loop {
            while tasks.try_join_next().is_some() {}
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { break Ok(()) };
            let line = match lines.next().await {
                Ok(Some(line)) => line,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            let (worker, run, replies) = (Arc::clone(&worker), run.clone(), replies.clone());
            tasks.spawn(async move {
                let reply = match line {
                    Line::Whole(line) => worker.answer(&line, &run).await,
                    Line::TooLong(length, maximum) => {
                        let detail = format!("it has {length} bytes, and at most {maximum} were expected");
                        worker.refuse("", Refusal::Malformed, detail)
                    }
                };
                // Nobody who writes means that nobody reads.
                let _ = replies.send(reply).await;
                drop(place);
            });
        }
    };
    let ended = tokio::select! {
        ended = talking => Some(ended),
        _ = &mut writing => None,
        () = &mut gone => None,
    };
    let Some(ended) = ended else {
        // Dropping the tasks ends their sockets with them.
        return Ok(());
    };
    drop(replies);
    let finishing = async {
        while tasks.join_next().await.is_some() {}
        let _ = (&mut writing).await;
    };
    tokio::select! {
        _ = tokio::time::timeout(limits.deadline + SLACK, finishing) => {}
        () = &mut gone => {}
    }
    drop(stop);
    ended
}

async fn write_all<W: AsyncWrite + Unpin>(mut output: W, mut replies: mpsc::Receiver<Reply>) {
    while let Some(reply) = replies.recv().await {
        if write_line(&mut output, &order::write(&reply)).await.is_err() {
            return;
        }
    }
}

async fn write_line<W: AsyncWrite + Unpin>(output: &mut W, line: &[u8]) -> io::Result<()> {
    output.write_all(line).await?;
    output.write_all(b"\n").await?;
    output.flush().await
}

/// Completes when nobody can read any more what is written there; never where that cannot be told (a file).
async fn reader_gone(output: OwnedFd) {
    let (told, gone) = oneshot::channel();
    // A thread of its own: it waits for nothing but the end, and ends with the process.
    let waiting = std::thread::Builder::new().name("reader-gone".to_owned()).stack_size(64 * 1024).spawn(move || {
        loop {
            let mut watched = [PollFd::new(output.as_fd(), PollFlags::empty())];
            match nix::poll::poll(&mut watched, PollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                Ok(_) if watched[0].any().unwrap_or_default() => {
                    // Nobody waiting means that the conversation is over.
                    let _ = told.send(());
                    return;
                }
                // What cannot be watched is not known to be gone.
                _ => return,
            }
        }
    });
    if waiting.is_err() || gone.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What a line comes to.
enum Line {
    Whole(Vec<u8>),
    /// Its length, and the longest.
    TooLong(usize, usize),
}

/// Lines of bounded length; of a longer one only the length is kept.
struct Lines<R> {
    input: R,
    line: Vec<u8>,
    length: usize,
    maximum: usize,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// The next line that is not empty; `None` at the end. What stands after the last line's end is a line, too.
    async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let read = self.input.fill_buf().await?;
            if read.is_empty() {
                return Ok(self.take());
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let part = &read[..end.unwrap_or(read.len())];
            self.length = self.length.saturating_add(part.len());
            if self.length <= self.maximum {
                self.line.extend_from_slice(part);
            } else {
                self.line = Vec::new();
            }
            let used = end.map_or(read.len(), |end| end + 1);
            self.input.consume(used);
            if end.is_some()
                && let Some(line) = self.take()
            {
                return Ok(Some(line));
            }
        }
    }

    fn take(&mut self) -> Option<Line> {
        let (line, length) = (std::mem::take(&mut self.line), std::mem::take(&mut self.length));
        if length > self.maximum {
            return Some(Line::TooLong(length, self.maximum));
        }
        line.iter().any(|byte| !byte.is_ascii_whitespace()).then_some(Line::Whole(line))
    }
}

/// Beyond the deadline of an order, for its reply to be written.
const SLACK: Duration = Duration::from_secs(5);
const MAXIMUM_AT_HAND: usize = 65_536;
