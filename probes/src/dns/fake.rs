//! A DNS server for tests: on loopback, over UDP and TCP on one port, and it does what a script says.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use hickory_resolver::proto::{
    op::{Edns, Message, OpCode, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    task::JoinHandle,
};

/// A question that came in.
#[derive(Clone)]
pub(crate) struct Asked {
    /// The message.
    pub(crate) message: Message,
    /// Whether it came over TCP.
    pub(crate) over_tcp: bool,
}

/// What the server does, in order.
pub(crate) enum Act {
    /// Sends a message; over TCP with its length before it.
    Send(Vec<u8>),
    /// Sends a datagram from another port.
    SendFromElsewhere(Vec<u8>),
    /// Sends bytes as they are over TCP.
    Raw(Vec<u8>),
    /// Waits.
    Wait(Duration),
    /// Closes the TCP connection.
    Close,
}

/// The server; ends with the value.
pub(crate) struct FakeServer {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The names asked so far.
    pub(crate) names: Arc<Mutex<Vec<String>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl FakeServer {
    /// Starts a server on a free port of 127.0.0.1.
    pub(crate) async fn start(script: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let names = Arc::<Mutex<Vec<String>>>::default();
        let script = Arc::new(script);
        let tasks = vec![
            tokio::spawn(serve_udp(udp, Arc::clone(&script), Arc::clone(&names))),
            tokio::spawn(serve_tcp(tcp, script, Arc::clone(&names))),
        ];
        Self { address, names, tasks }
    }

    /// A server that answers every `A` question with these addresses and every `AAAA` question with none.
    pub(crate) async fn answering(last_octet: u8) -> Self {
        Self::start(move |asked| vec![asked.send(&asked.addresses(&[Ipv4Addr::new(192, 0, 2, last_octet)]))]).await
    }

    /// A server that answers everything with one response code.
    pub(crate) async fn failing(code: ResponseCode) -> Self {
        Self::start(move |asked| vec![asked.send(&asked.reply(code))]).await
    }

    /// A server that never says anything, though TCP connects.
    pub(crate) async fn silent() -> Self {
        Self::start(|_| Vec::new()).await
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Asked {
    /// The record type asked for.
    pub(crate) fn record_type(&self) -> RecordType {
        self.message.queries[0].query_type
    }

    /// The name asked for.
    pub(crate) fn name(&self) -> &Name {
        &self.message.queries[0].name
    }

    /// An empty reply.
    pub(crate) fn reply(&self, code: ResponseCode) -> Message {
        let mut message = Message::response(self.message.metadata.id, OpCode::Query);
        message.metadata.response_code = code;
        message.metadata.recursion_available = true;
        message.add_queries(self.message.queries.iter().cloned());
        message
    }

    /// A reply with addresses for an `A` question; no data for any other.
    pub(crate) fn addresses(&self, addresses: &[Ipv4Addr]) -> Message {
        let mut message = self.reply(ResponseCode::NoError);
        if self.record_type() == RecordType::A {
            message.add_answers(addresses.iter().map(|&address| record(self.name(), RData::A(rdata::A(address)))));
        }
        message
    }

    /// A reply with an extended error.
    pub(crate) fn extended_error(&self, code: ResponseCode, info: u16, text: &str) -> Message {
        let mut message = self.reply(code);
        let mut edns = Edns::new();
        let data = [&info.to_be_bytes(), text.as_bytes()].concat();
        edns.options_mut().insert(rdata::opt::EdnsOption::Unknown(15, data));
        message.set_edns(edns);
        message
    }

    /// Sends a message.
    #[expect(clippy::unused_self, reason = "reads as a sentence in the scripts")]
    pub(crate) fn send(&self, message: &Message) -> Act {
        Act::Send(message.to_vec().unwrap())
    }
}

/// A record with a time to live of 60 s.
pub(crate) fn record(owner: &Name, data: RData) -> Record {
    Record::from_rdata(owner.clone(), 60, data)
}

/// A port of 127.0.0.1 where nobody listens.
pub(crate) fn closed_port() -> SocketAddr {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.local_addr().unwrap()
}

/// An address of the documentation range.
pub(crate) fn documented(last_octet: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last_octet))
}

async fn serve_udp<S>(socket: UdpSocket, script: Arc<S>, names: Arc<Mutex<Vec<String>>>)
where
    S: Fn(&Asked) -> Vec<Act> + Send + Sync + 'static,
{
    let socket = Arc::new(socket);
    let mut buffer = [0; 2_048];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        let Ok(message) = Message::from_vec(&buffer[..length]) else { continue };
        let asked = Asked { message, over_tcp: false };
        names.lock().unwrap().push(asked.name().to_ascii());
        let acts = script(&asked);
        let socket = Arc::clone(&socket);
        tokio::spawn(async move {
            for act in acts {
                match act {
                    Act::Send(bytes) => drop(socket.send_to(&bytes, peer).await),
                    Act::SendFromElsewhere(bytes) => {
                        let elsewhere = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                        drop(elsewhere.send_to(&bytes, peer).await);
                    }
                    Act::Wait(duration) => tokio::time::sleep(duration).await,
                    Act::Raw(_) | Act::Close => {}
                }
            }
        });
    }
}

async fn serve_tcp<S>(listener: TcpListener, script: Arc<S>, names: Arc<Mutex<Vec<String>>>)
where
    S: Fn(&Asked) -> Vec<Act> + Send + Sync + 'static,
{
    while let Ok((mut stream, _)) = listener.accept().await {
        let script = Arc::clone(&script);
        let names = Arc::clone(&names);
        tokio::spawn(async move {
            let Ok(length) = stream.read_u16().await else { return };
            let mut body = vec![0; usize::from(length)];
            if stream.read_exact(&mut body).await.is_err() {
                return;
            }
            let asked = Asked { message: Message::from_vec(&body).unwrap(), over_tcp: true };
            names.lock().unwrap().push(asked.name().to_ascii());
            for act in script(&asked) {
                let sent = match act {
                    Act::Send(bytes) => {
                        let length = u16::try_from(bytes.len()).unwrap();
                        stream.write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat()).await
                    }
                    Act::Raw(bytes) => stream.write_all(&bytes).await,
                    Act::Wait(duration) => {
                        tokio::time::sleep(duration).await;
                        Ok(())
                    }
                    Act::SendFromElsewhere(_) => Ok(()),
                    Act::Close => return,
                };
                if sent.is_err() {
                    return;
                }
            }
            // Stays open until the client has had enough.
            drop(stream.read_u8().await);
        });
    }
}
