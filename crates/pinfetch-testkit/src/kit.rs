//! The commands: what they hold, and what each answers with.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::proxy::Proxy;
use crate::server::{Identity, Resumption, Server, ServerOptions, Version};
use crate::{Authority, Behaviour, CertificateRequest, KitError, RevocationRequest};

/// A command, told apart by its `cmd`. An unknown field is an error.
#[derive(Debug, Deserialize)]
#[serde(tag = "cmd", rename_all = "lowercase")]
pub enum Command {
    /// Issues certificates → `{ NAME: { subject, der, pem, pin, keyPem, spkiPem } }`.
    Issue(IssueRequest),
    /// Makes a certificate revocation list → `{ der, pem }`.
    Revoke(RevocationRequest),
    /// Starts a server → `{ server, port }`.
    Serve(Box<ServeRequest>),
    /// Presents something else in new handshakes; live connections stay → `{}`.
    Swap(SwapRequest),
    /// Reads a server's or proxy's numbers → [`ServerStats`](crate::ServerStats) or [`ProxyStats`](crate::ProxyStats).
    Stats(StatsRequest),
    /// Closes the live connections of a server → `{ closed }`.
    Kick(TargetRequest),
    /// Ends a server or proxy; its port is free afterwards → `{}`.
    Stop(TargetRequest),
    /// Starts a proxy → `{ server, port }`.
    Proxy(ProxyRequest),
    /// Lets a proxy refuse what it is asked for from now on, or no longer → `{}`.
    Refuse(RefuseRequest),
}

/// The certificates of an `issue` command, each of which may refer to earlier ones.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssueRequest {
    /// What to issue, in this order.
    pub certificates: Vec<CertificateRequest>,
}

/// The fields of a `serve` command.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServeRequest {
    /// The presented chain, in this order.
    #[serde(default)]
    pub chain: Vec<ChainEntry>,
    /// The certificate whose key signs handshakes; needed unless `behaviour` never completes one.
    pub key: Option<String>,
    /// What the server calls itself; `server N` by default.
    pub name: Option<String>,
    /// Application protocols on offer; `h2` and `http/1.1` by default.
    pub alpn: Option<Vec<String>>,
    /// TLS versions; both by default.
    pub versions: Option<Vec<Version>>,
    /// Whether sessions travel in tickets; yes by default.
    pub tickets: Option<bool>,
    /// Whether sessions are remembered by id; as `tickets` by default.
    pub sessions: Option<bool>,
    /// A server whose sessions are resumed, too: `tickets` and `sessions` are that server's.
    pub ticket_key_of: Option<u32>,
    /// The address to listen on; 127.0.0.1 by default.
    pub host: Option<IpAddr>,
    /// The port to listen on; any free one by default.
    #[serde(default)]
    pub port: u16,
    /// Presents something else from some connection on.
    pub swap_after: Option<SwapAfter>,
    /// What it does; `normal` by default.
    #[serde(default)]
    pub behaviour: Behaviour,
    /// The origins that `origin-frame` claims.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Milliseconds before `early-writer` writes out of turn; 20 by default.
    pub delay: Option<u64>,
    /// Requests in flight on one HTTP/2 connection; 256 by default.
    pub streams: Option<u32>,
    /// Whether to count datagrams at the same UDP port.
    #[serde(default)]
    pub udp: bool,
}

/// A certificate of a presented chain.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum ChainEntry {
    /// An issued certificate's name.
    Name(String),
    /// Any bytes at all.
    Der {
        /// The bytes in base64.
        der: String,
    },
}

/// What is presented to every connection past the first `connections`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwapAfter {
    /// How many connections still get the first identity.
    pub connections: u64,
    /// The chain from then on.
    pub chain: Vec<ChainEntry>,
    /// The certificate whose key signs handshakes from then on.
    pub key: String,
}

/// The fields of a `swap` command.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwapRequest {
    /// The server.
    pub server: u32,
    /// The chain from now on.
    pub chain: Vec<ChainEntry>,
    /// The certificate whose key signs handshakes from now on.
    pub key: String,
}

/// The fields of a `stats` command.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatsRequest {
    /// The server or proxy.
    pub server: u32,
    /// How many milliseconds to wait for all of a server's connections to be accepted and closed; by default not at
    /// all. `settled` in the answer tells whether they were.
    pub settle: Option<u64>,
}

/// The one field of `kick` and `stop`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetRequest {
    /// The server or proxy.
    pub server: u32,
}

/// The fields of a `refuse` command.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefuseRequest {
    /// The proxy.
    pub server: u32,
    /// As in [`ProxyRequest::refuse`]; without it, nothing is refused any more.
    pub with: Option<u16>,
}

/// The fields of a `proxy` command.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyRequest {
    /// Which protocol it speaks.
    pub kind: ProxyKind,
    /// The chain that is presented to clients, in this order.
    #[serde(default)]
    pub chain: Vec<ChainEntry>,
    /// The certificate whose key signs handshakes with clients; without it, no TLS is spoken to the proxy.
    pub key: Option<String>,
    /// `user:password` that clients must give; by default none is asked for.
    pub credentials: Option<String>,
    /// What every client that is let in is refused with: a status (`connect`; 407 comes with a challenge) or a reply code
    /// (`socks5`; RFC 1928 §6). By default nothing is refused.
    pub refuse: Option<u16>,
    /// Where every tunnel leads, whatever host was asked for; 127.0.0.1 by default.
    pub host: Option<IpAddr>,
    /// The port where every tunnel leads; by default the one asked for. An intercepting proxy leads to its own.
    pub port: Option<u16>,
}

/// A proxy's protocol.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum ProxyKind {
    /// HTTP: CONNECT, and requests for `http:` in absolute form (RFC 9112 §3.2.2), one a connection.
    Connect,
    /// SOCKS version 5.
    Socks5,
}

/// A command's answer: there already, or once connections have settled.
pub type Outcome = Result<Value, KitError>;

/// Authorities, servers and proxies behind commands.
#[derive(Debug, Default)]
pub struct Kit {
    authority: Authority,
    servers: HashMap<u32, Arc<Server>>,
    proxies: HashMap<u32, Proxy>,
    started: u32,
}

impl Kit {
    /// A kit that holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Carries a command out, all but the waiting: what has to be waited for is in the future that it returns.
    ///
    /// Must be called in a tokio runtime.
    ///
    /// # Errors
    ///
    /// The [`KitError`] of what the command asks for, at once or from the future.
    pub fn execute(
        &mut self,
        command: Command,
    ) -> Result<impl Future<Output = Outcome> + Send + use<>, KitError> {
        let mut later = Later::Nothing;
        let answer = match command {
            Command::Issue(request) => self.issue(&request)?,
            Command::Revoke(request) => {
                let list = self.authority.revoke(&request)?;
                json!({ "der": BASE64_STANDARD.encode(list.der()), "pem": list.pem() })
            }
            Command::Serve(request) => self.serve(*request)?,
            Command::Swap(SwapRequest { server, chain, key }) => {
                let identity = self.identity(&chain, &key)?;
                self.server(server)?.swap(identity)?;
                json!({})
            }
            Command::Stats(StatsRequest { server, settle }) => {
                if let Some(proxy) = self.proxies.get(&server) {
                    serde_json::to_value(proxy.stats())?
                } else {
                    later = Later::Stats(
                        Arc::clone(self.server(server)?),
                        settle.map(Duration::from_millis),
                    );
                    Value::Null
                }
            }
            Command::Kick(TargetRequest { server }) => {
                later = Later::Kick(Arc::clone(self.server(server)?));
                Value::Null
            }
            Command::Stop(TargetRequest { server }) => {
                if self.proxies.remove(&server).is_none() {
                    let stopped = self
                        .servers
                        .remove(&server)
                        .ok_or(KitError::UnknownServer(server))?;
                    later = Later::Stop(stopped);
                }
                json!({})
            }
            Command::Refuse(RefuseRequest { server, with }) => {
                let proxy = self.proxies.get(&server);
                proxy.ok_or(KitError::UnknownServer(server))?.refuse(with)?;
                json!({})
            }
            Command::Proxy(request) => {
                let identity = match &request.key {
                    Some(key) => Some(self.identity(&request.chain, key)?),
                    None => None,
                };
                let proxy = Proxy::start(request, identity)?;
                let answer =
                    json!({ "server": self.next_number(), "port": proxy.address().port() });
                self.proxies.insert(self.started, proxy);
                answer
            }
        };
        Ok(async move {
            match later {
                Later::Nothing => Ok(answer),
                Later::Stats(server, within) => {
                    let settled = match within {
                        Some(within) => server.settle(within).await?,
                        None => false,
                    };
                    let mut stats = server.stats();
                    stats.settled |= settled;
                    Ok(serde_json::to_value(stats)?)
                }
                Later::Kick(server) => Ok(json!({ "closed": server.kick().await })),
                Later::Stop(server) => {
                    server.stop().await;
                    Ok(answer)
                }
            }
        })
    }

    fn issue(&mut self, request: &IssueRequest) -> Outcome {
        let mut answer = Map::new();
        for certificate in &request.certificates {
            let issued = self.authority.issue(certificate)?;
            let parts = json!({
                "subject": issued.subject(),
                "der": BASE64_STANDARD.encode(issued.der()),
                "pem": issued.pem(),
                "pin": issued.pin(),
                "keyPem": issued.key_pem(),
                "spkiPem": issued.spki_pem(),
            });
            answer.insert(certificate.name.clone(), parts);
        }
        Ok(Value::Object(answer))
    }

    fn serve(&mut self, request: ServeRequest) -> Outcome {
        let identity = request
            .key
            .as_ref()
            .map(|key| self.identity(&request.chain, key))
            .transpose()?;
        let swap_after = match &request.swap_after {
            Some(SwapAfter {
                connections,
                chain,
                key,
            }) => Some((*connections, self.identity(chain, key)?)),
            None => None,
        };
        let tickets = request.tickets.unwrap_or(true);
        let resumption = match request.ticket_key_of {
            Some(server) => self.server(server)?.resumption(),
            None => Resumption::new(tickets, request.sessions.unwrap_or(tickets))?,
        };
        let number = self.next_number();
        let defaults = ServerOptions::default();
        let server = Server::start(ServerOptions {
            name: request.name.unwrap_or_else(|| format!("server {number}")),
            identity,
            alpn: request.alpn.unwrap_or(defaults.alpn),
            versions: request.versions.unwrap_or(defaults.versions),
            resumption,
            host: request.host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port: request.port,
            behaviour: request.behaviour,
            swap_after,
            origins: request.origins,
            delay: request.delay.map_or(defaults.delay, Duration::from_millis),
            streams: request.streams.unwrap_or(defaults.streams),
            udp: request.udp,
        })?;
        let port = server.address().port();
        self.servers.insert(number, Arc::new(server));
        Ok(json!({ "server": number, "port": port }))
    }

    fn identity(&self, chain: &[ChainEntry], key: &str) -> Result<Identity, KitError> {
        let chain = chain.iter().map(|entry| match entry {
            ChainEntry::Name(name) => Ok(self.authority.get(name)?.der().clone()),
            ChainEntry::Der { der } => BASE64_STANDARD
                .decode(der)
                .map(CertificateDer::from)
                .map_err(|error| KitError::InvalidField {
                    field: "der",
                    problem: error.to_string(),
                }),
        });
        Ok(Identity {
            chain: chain.collect::<Result<_, _>>()?,
            key: self.authority.get(key)?.signing_key()?,
        })
    }

    fn next_number(&mut self) -> u32 {
        self.started += 1;
        self.started
    }

    fn server(&self, number: u32) -> Result<&Arc<Server>, KitError> {
        self.servers
            .get(&number)
            .ok_or(KitError::UnknownServer(number))
    }
}

/// What a command still waits for once the kit itself is done with it.
enum Later {
    Nothing,
    Stats(Arc<Server>, Option<Duration>),
    Kick(Arc<Server>),
    Stop(Arc<Server>),
}
